//! Prosody of synthetic voices whose pitch, speed and tone are known, and of sounds that are no voice.

use std::f32::consts::TAU;

use emotion_llama_core::media::Waveform;
use emotion_llama_core::voice::{condition, measure, Prosody, ProsodyNorms, Register, ZNorm, CONDITIONED_DB};
use emotion_llama_core::{CancelToken, ErrorKind};
use proptest::prelude::*;

const RATE: f32 = 16_000.0;

/// Pseudo-random numbers in -1..1.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A buzzing voice: harmonics that fall by `slope_db` per octave, a little jitter, `syllables` per second.
fn voice(seconds: f32, f0: impl Fn(f32) -> f32, slope_db: f32, syllables: f32) -> Waveform {
    let mut noise = Noise(7);
    let (mut phase, mut drift) = (0.0f32, 0.0f32);
    let samples = (0..(seconds * RATE) as usize)
        .map(|i| {
            let t = i as f32 / RATE;
            drift = 0.999 * drift + 0.001 * noise.next();
            let hz = f0(t) * (1.0 + 1.5 * drift);
            phase = (phase + hz / RATE) % 1.0;
            let harmonics = ((7_000.0 / hz) as usize).min(40);
            let buzz: f32 = (1..=harmonics)
                .map(|k| (TAU * phase * k as f32).sin() * 10f32.powf(slope_db * (k as f32).log2() / 20.0))
                .sum();
            let envelope = if syllables > 0.0 { 0.1 + (0.5 - 0.5 * (TAU * t * syllables).cos()).powi(2) } else { 1.0 };
            0.1 * buzz * envelope + 1e-4 * noise.next()
        })
        .collect();
    Waveform { samples }
}

fn found(audio: &Waveform) -> Option<Prosody> {
    measure(audio, &ProsodyNorms::default(), &CancelToken::new()).expect("nothing cancels")
}

fn heard(audio: &Waveform) -> Prosody {
    found(audio).expect("there is a voice")
}

fn semitones(a: f32, b: f32) -> f32 {
    12.0 * (a / b).log2()
}

#[test]
fn pitch_of_steady_voices_is_right_from_bass_to_child() {
    for hz in [75.0, 98.0, 131.0, 180.0, 247.0, 330.0, 440.0] {
        for slope in [-3.0, -9.0, -14.0] {
            let pitch = heard(&voice(1.5, |_| hz, slope, 4.0)).pitch_hz.expect("voiced");
            assert!(semitones(pitch, hz).abs() < 0.3, "{hz} Hz, {slope} dB: measured {pitch} Hz");
        }
    }
}

#[test]
fn glide_gives_its_middle_and_its_range() {
    for (low, high) in [(100.0f32, 160.0f32), (90.0, 180.0), (200.0, 380.0)] {
        let prosody = heard(&voice(2.0, |t| low * (high / low).powf(t / 2.0), -9.0, 0.0));
        let (pitch, range) = (prosody.pitch_hz.expect("voiced"), prosody.pitch_range_st.expect("voiced"));
        assert!(semitones(pitch, (low * high).sqrt()).abs() < 0.5, "{low}-{high}: {pitch} Hz");
        let expected = 0.8 * semitones(high, low);
        assert!((range - expected).abs() < 0.15 * expected + 0.4, "{low}-{high}: {range} st, expected {expected}");
    }
}

#[test]
fn missing_fundamental_is_found() {
    let mut audio = voice(1.5, |_| 110.0, -6.0, 4.0);
    // A telephone's band: two first-order high-pass filters at 400 Hz, twice.
    for _ in 0..4 {
        let keep = (-TAU * 300.0 / RATE).exp();
        let (mut previous, mut out) = (0.0, 0.0);
        for x in &mut audio.samples {
            out = keep * (out + *x - previous);
            previous = *x;
            *x = out;
        }
    }
    let pitch = heard(&audio).pitch_hz.expect("voiced");
    assert!(semitones(pitch, 110.0).abs() < 0.3, "{pitch} Hz");
}

#[test]
fn syllable_rate_follows_the_syllables() {
    for rate in [2.0f32, 3.5, 5.0, 6.5] {
        let measured = heard(&voice(3.0, |_| 140.0, -9.0, rate)).rate_sps;
        assert!((measured / rate - 1.0).abs() < 0.2, "{rate} per second: measured {measured}");
    }
}

#[test]
fn more_overtones_mean_more_effort_and_a_brighter_voice() {
    let measured: Vec<_> = [-14.0, -10.0, -6.0, -3.0].map(|slope| heard(&voice(1.5, |_| 150.0, slope, 4.0))).into();
    for pair in measured.windows(2) {
        assert!(pair[1].energy_db > pair[0].energy_db + 1.0, "{pair:?}");
        assert!(pair[1].brightness > pair[0].brightness + 1.0, "{pair:?}");
    }
}

#[test]
fn noise_at_ten_decibels_changes_little() {
    let clean = voice(2.0, |t| 150.0 + 40.0 * (t * 5.0).sin(), -7.0, 4.0);
    let power = clean.samples.iter().map(|x| x * x).sum::<f32>() / clean.samples.len() as f32;
    let mut noise = Noise(3);
    let gain = (power * 0.1 * 3.0).sqrt();
    let noisy = Waveform { samples: clean.samples.iter().map(|x| x + gain * noise.next()).collect() };
    let (a, b) = (heard(&clean), heard(&noisy));
    assert!(semitones(a.pitch_hz.unwrap(), b.pitch_hz.unwrap()).abs() < 0.5, "{a:?} {b:?}");
    assert!((a.pitch_range_st.unwrap() - b.pitch_range_st.unwrap()).abs() < 1.5, "{a:?} {b:?}");
}

#[test]
fn speech_is_found_between_silences() {
    let inner = voice(1.2, |t| 140.0 + 20.0 * (t * 7.0).sin(), -8.0, 4.0);
    let mut noise = Noise(5);
    let mut samples: Vec<f32> = (0..16_000).map(|_| 1e-4 * noise.next()).collect();
    samples.extend(&inner.samples);
    samples.extend((0..24_000).map(|_| 1e-4 * noise.next()));
    let audio = Waveform { samples };
    let prosody = heard(&audio);
    assert!((prosody.span_s.0 - 1.0).abs() < 0.15 && (prosody.span_s.1 - 2.2).abs() < 0.15, "{prosody:?}");
    assert!((prosody.speech_s - 1.2).abs() < 0.25, "{prosody:?}");
    let conditioned = condition(&audio, &prosody);
    assert!((conditioned.duration_s() - 1.4).abs() < 0.25, "{} s", conditioned.duration_s());
}

#[test]
fn conditioned_voice_has_one_level() {
    for gain in [0.002f32, 0.1, 3.0] {
        let mut audio = voice(1.5, |_| 150.0, -8.0, 0.0);
        audio.samples.iter_mut().for_each(|x| *x *= gain);
        let prosody = heard(&audio);
        let out = condition(&audio, &prosody).samples;
        let level = 10.0 * (out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32).log10();
        assert!((level - CONDITIONED_DB).abs() < 0.5, "gain {gain}: {level} dB");
    }
}

#[test]
fn what_is_no_voice_is_not_measured() {
    let mut noise = Noise(11);
    let mut brown = 0.0;
    let none = [
        ("nothing", vec![]),
        ("one sample", vec![0.5]),
        ("silence", vec![0.0; 32_000]),
        ("silence of -0 and the least numbers", [-0.0, f32::MIN_POSITIVE, -1e-38].repeat(8_000)),
        ("a constant", vec![0.7; 32_000]),
        ("NaN", vec![f32::NAN; 32_000]),
        ("infinity", vec![f32::INFINITY; 32_000]),
        ("50 ms of voice", voice(0.05, |_| 150.0, -8.0, 0.0).samples),
        ("white noise", (0..48_000).map(|_| noise.next()).collect()),
        (
            "brown noise",
            (0..48_000)
                .map(|_| {
                    brown = 0.998 * brown + 0.05 * noise.next();
                    brown
                })
                .collect(),
        ),
        ("a tone", (0..32_000).map(|i| (TAU * 440.0 * i as f32 / RATE).sin()).collect()),
        (
            "a melody of held notes",
            (0..48_000)
                .map(|i| {
                    let hz = [220.0, 247.0, 262.0, 330.0][i / 6_000 % 4];
                    (1..6).map(|k| (TAU * hz * k as f32 * i as f32 / RATE).sin() / k as f32).sum::<f32>()
                })
                .collect(),
        ),
        ("a click", (0..32_000).map(|i| if i == 16_000 { 1.0 } else { 0.0 }).collect()),
    ];
    for (what, samples) in none {
        assert_eq!(found(&Waveform { samples }), None, "{what}");
    }
}

#[test]
fn a_few_broken_samples_do_not_matter() {
    let clean = voice(1.5, |_| 150.0, -8.0, 4.0);
    let mut broken = clean.clone();
    for i in (0..broken.samples.len()).step_by(4_001) {
        broken.samples[i] = f32::NAN;
    }
    let (a, b) = (heard(&clean), heard(&broken));
    assert!(semitones(a.pitch_hz.unwrap(), b.pitch_hz.unwrap()).abs() < 0.3, "{a:?} {b:?}");
}

#[test]
fn cancelled_work_stops() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let result = measure(&voice(1.0, |_| 150.0, -8.0, 4.0), &ProsodyNorms::default(), &cancel);
    assert_eq!(result.expect_err("cancelled").kind, ErrorKind::Cancelled);
}

fn norms() -> ProsodyNorms {
    let unit = ZNorm { mean: 0.0, sd: 5.0 };
    let register = |name: &str, pitch_hz, prior| Register { name: name.into(), pitch_hz, sd_st: 4.0, prior };
    ProsodyNorms {
        registers: vec![register("male", 115.0, 0.48), register("female", 190.0, 0.48), register("child", 270.0, 0.04)],
        pitch: unit,
        ..ProsodyNorms::default()
    }
}

#[test]
fn the_same_pitch_is_high_for_a_man_and_low_for_a_woman() {
    let mut prosody = heard(&voice(1.5, |_| 150.0, -8.0, 4.0));
    let z = |female: Option<f32>, p: &Prosody| norms().z(p, female).pitch;
    assert!(z(Some(0.0), &prosody) > 0.5, "as a man: {}", z(Some(0.0), &prosody));
    assert!(z(Some(1.0), &prosody) < -0.5, "as a woman: {}", z(Some(1.0), &prosody));
    let unknown = z(None, &prosody);
    assert!(z(Some(1.0), &prosody) < unknown && unknown < z(Some(0.0), &prosody), "unknown: {unknown}");
    prosody.pitch_hz = None;
    assert_eq!(z(Some(0.3), &prosody), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn recording_level_changes_nothing(db in -55.0f32..20.0, hz in 80.0f32..350.0, rate in 2.0f32..6.0) {
        let audio = voice(1.0, |t| hz * (1.0 + 0.1 * (t * 6.0).sin()), -8.0, rate);
        let mut scaled = audio.clone();
        scaled.samples.iter_mut().for_each(|x| *x *= 10f32.powf(db / 20.0));
        let (a, b) = (heard(&audio), heard(&scaled));
        for (x, y) in a.z.to_array().iter().zip(b.z.to_array()) {
            prop_assert!((x - y).abs() < 0.02, "{a:?} {b:?}");
        }
        prop_assert!((b.level_db - a.level_db - db).abs() < 0.05, "{} {}", a.level_db, b.level_db);
    }

    #[test]
    fn measures_stay_in_their_bounds(samples in prop::collection::vec(prop_oneof![
        8 => -1.0f32..1.0, 1 => Just(0.0f32), 1 => prop::num::f32::ANY,
    ], 0..6_000), hz in 60.0f32..500.0, mix in 0.0f32..1.0) {
        let samples: Vec<f32> = samples
            .iter()
            .enumerate()
            .map(|(i, x)| x * (1.0 - mix) + mix * (TAU * hz * (1.0 + 0.02 * (i as f32 / 900.0).sin()) * i as f32 / RATE).sin())
            .collect();
        let audio = Waveform { samples };
        if let Some(p) = found(&audio) {
            prop_assert!(p.pitch_hz.is_none_or(|hz| (59.0..=505.0).contains(&hz)), "{p:?}");
            prop_assert!(p.pitch_range_st.is_none_or(|st| (0.0..=40.0).contains(&st)), "{p:?}");
            prop_assert!(p.rate_sps >= 0.0 && p.rate_sps < 25.0, "{p:?}");
            prop_assert!(p.speech_s > 0.0 && f64::from(p.speech_s) <= audio.duration_s() + 0.01, "{p:?}");
            prop_assert!(p.span_s.0 < p.span_s.1 && f64::from(p.span_s.1) <= audio.duration_s() + 1e-4, "{p:?}");
            prop_assert!(p.energy_db.is_finite() && p.brightness.is_finite() && p.level_db.is_finite(), "{p:?}");
            prop_assert!(p.z.to_array().iter().all(|z| z.abs() <= 6.0), "{p:?}");
            prop_assert!(condition(&audio, &p).samples.iter().all(|x| x.is_finite()));
        }
    }
}
