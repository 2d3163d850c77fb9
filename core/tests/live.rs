//! Raw pictures and sound through the live buffer: colours, sizes, sound, the ring, and what is refused.

mod live_pictures;

use emotion_llama_core::live::{
    LiveBuffer, LiveOptions, Pcm, PcmFormat, PcmSamples, PixelFormat, Plane, Planes, RawFrame,
};
use emotion_llama_core::media::{decode, Clip, FramePick, Limits, Note, Sampling, Waveform};
use emotion_llama_core::CancelToken;
use live_pictures::{Painted, Pattern};
use proptest::prelude::*;

/// RGB and gray come out as they went in, but for the rounding of the gray tables.
const EXACT: i32 = 1;
/// Chroma is interpolated between samples that differ by 1 in these pictures; RGB moves by up to about twice that on each axis.
const INTERPOLATED: i32 = 6;
/// Flat colours that are scaled go through luma and chroma and back.
const SCALED_FLAT: i32 = 3;

fn buffer(seconds: f64, rate: f64) -> LiveBuffer {
    LiveBuffer::new(LiveOptions { seconds, max_frames_per_second: rate, ..LiveOptions::default() }).unwrap()
}

fn everything() -> Sampling {
    Sampling { max_frames: 10_000, ..Sampling::default() }
}

fn names(clip: &Clip) -> Vec<&'static str> {
    clip.notes.iter().map(|note| note.name).collect()
}

fn gray(level: &[u8], time_s: f64) -> RawFrame<'_> {
    let planes = Planes::Packed(Plane { data: level, stride: 4 });
    RawFrame { format: PixelFormat::Gray8, width: 4, height: 4, planes, time_s }
}

fn worst(rgb: &[u8], expected: &[u8]) -> i32 {
    assert_eq!(rgb.len(), expected.len());
    rgb.iter().zip(expected).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max().unwrap_or(0)
}

/// What the buffer makes of one picture.
fn converted(painted: &Painted, max_side: usize) -> (usize, usize, Vec<u8>) {
    let mut buffer = LiveBuffer::new(LiveOptions { max_side, ..LiveOptions::default() }).unwrap();
    buffer.push_frame(&painted.raw(7.0)).unwrap();
    let mut clip = buffer.clip(1.0, &Sampling { max_side, ..Sampling::default() }).unwrap();
    let frame = clip.frames.pop().unwrap();
    assert_eq!((frame.time_s, frame.index, clip.duration_s), (0.0, 0, 0.0));
    assert_eq!((frame.source_width, frame.source_height), (painted.width, painted.height));
    (frame.width, frame.height, frame.rgb)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_format_is_converted_as_the_plain_formula_says(
        format in 0..PixelFormat::ALL.len(), width in 1usize..70, height in 1usize..50,
        padding in 0usize..40, seed in any::<u64>(),
    ) {
        let format = PixelFormat::ALL[format];
        let painted = Painted::new(format, width, height, padding, Pattern::Varied(seed));
        let (to_width, to_height, rgb) = converted(&painted, 1280);
        prop_assert_eq!((to_width, to_height), (width, height));
        let tolerance =
            if matches!(format, PixelFormat::Nv12 | PixelFormat::I420) { INTERPOLATED } else { EXACT };
        let off = worst(&rgb, &painted.reference());
        prop_assert!(off <= tolerance, "{} {width} x {height}: off by {off}", format.name());
    }

    #[test]
    fn flat_colours_stay_at_every_size(
        format in 0..PixelFormat::ALL.len(), width in 1usize..300, height in 1usize..300,
        max_side in 16usize..200, seed in any::<u64>(),
    ) {
        let painted = Painted::new(PixelFormat::ALL[format], width, height, 3, Pattern::Flat(seed));
        let (to_width, to_height, rgb) = converted(&painted, max_side);
        prop_assert!(to_width.max(to_height) <= max_side.max(1));
        prop_assert_eq!(rgb.len(), to_width * to_height * 3);
        let reference = painted.reference();
        for pixel in rgb.chunks_exact(3) {
            let off = worst(pixel, &reference[..3]);
            prop_assert!(off <= SCALED_FLAT, "{} {width} x {height} to {max_side}: off by {off}", painted.format.name());
        }
    }

    #[test]
    fn no_picture_makes_it_panic(
        format in 0..PixelFormat::ALL.len(), kind in 0..3, width in 0usize..40, height in 0usize..40, huge in any::<bool>(),
        lengths in [0usize..3000, 0usize..3000, 0usize..3000], strides in [0usize..100, 0usize..100, 0usize..100],
        time_s in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), any::<f64>(), -10.0..10.0],
    ) {
        let bytes = vec![90u8; 3000];
        let stride = |i: usize| if huge && i == 0 { usize::MAX - strides[0] } else { strides[i] };
        let plane = |i: usize| Plane { data: &bytes[..lengths[i]], stride: stride(i) };
        let planes = match kind {
            0 => Planes::Packed(plane(0)),
            1 => Planes::Nv12 { luma: plane(0), chroma: plane(1) },
            _ => Planes::I420 { luma: plane(0), blue: plane(1), red: plane(2) },
        };
        let raw = RawFrame { format: PixelFormat::ALL[format], width, height, planes, time_s };
        let mut buffer = buffer(1.0, 15.0);
        match buffer.push_frame(&raw) {
            Ok(()) => prop_assert_eq!(buffer.frame_count(), 1),
            Err(error) => {
                prop_assert_eq!(error.name(), "invalid_argument");
                prop_assert_eq!(buffer.frame_count(), 0);
            }
        }
    }

    #[test]
    fn no_sound_makes_it_panic(
        samples in prop::collection::vec(prop::num::f32::ANY, 0..600), rate in 0u32..400_000, channels in 0u16..70,
        times in prop::collection::vec(-3.0..20.0f64, 1..12),
    ) {
        let mut buffer = buffer(2.0, 15.0);
        for time_s in times {
            let pcm = Pcm { samples: PcmSamples::F32(&samples), rate, channels, time_s };
            if let Err(error) = buffer.push_audio(&pcm) {
                prop_assert_eq!(error.name(), "invalid_argument");
            }
            prop_assert!(buffer.memory_bytes() <= 4 * (2 * 16_000 + 2));
        }
        if let Ok(clip) = buffer.clip(10.0, &Sampling::default()) {
            prop_assert!(clip.audio.unwrap().samples.iter().all(|sample| sample.is_finite()));
        }
    }
}

#[test]
fn large_pictures_take_the_matrix_of_high_definition_as_files_do() {
    for (width, height) in [(1280, 718), (1280, 720), (720, 1280), (1919, 1081)] {
        let painted = Painted::new(PixelFormat::I420, width, height, 5, Pattern::Flat(77));
        let (_, _, rgb) = converted(&painted, 8192);
        assert!(worst(&rgb[..3], &painted.reference()[..3]) <= EXACT, "{width} x {height}");
    }
}

#[test]
fn scaling_averages_what_a_pixel_covers() {
    // Black and white columns by turns become gray.
    let row: Vec<u8> = (0..256).map(|x| if x % 2 == 0 { 0 } else { 255 }).collect();
    let data = row.repeat(64);
    let planes = Planes::Packed(Plane { data: &data, stride: 256 });
    let raw = RawFrame { format: PixelFormat::Gray8, width: 256, height: 64, planes, time_s: 0.0 };
    let mut buffer = LiveBuffer::new(LiveOptions { max_side: 128, ..LiveOptions::default() }).unwrap();
    buffer.push_frame(&raw).unwrap();
    for max_side in [128, 64] {
        let clip = buffer.clip(1.0, &Sampling { max_side, ..Sampling::default() }).unwrap();
        let frame = &clip.frames[0];
        assert_eq!((frame.width, frame.height), (max_side, max_side / 4));
        assert!(frame.rgb.iter().all(|level| (125..=130).contains(level)), "{:?}", &frame.rgb[..12]);
    }
}

/// A sum of tones over the voice's range, in -0.8..0.8, `[frames, channels]`; the channels differ in level.
fn tones(rate: u32, seconds: f64, channels: u16, hertz: &[f64]) -> Vec<i16> {
    let mut samples = Vec::new();
    for i in 0..(f64::from(rate) * seconds) as usize {
        let t = i as f64 / f64::from(rate);
        let value = hertz.iter().map(|hertz| (t * hertz * std::f64::consts::TAU).sin()).sum::<f64>();
        for channel in 0..channels {
            let level = 0.8 / hertz.len() as f64 / f64::from(channel + 1);
            samples.push((value * level * 32767.0) as i16);
        }
    }
    samples
}

fn wav(samples: &[i16], rate: u32, channels: u16) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(b"\x10\0data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Pushes interleaved `samples` in pieces of odd lengths from `start_s` on.
fn push(buffer: &mut LiveBuffer, samples: &[i16], rate: u32, channels: u16, start_s: f64, as_f32: bool) {
    let (mut at, mut turn) = (0, 0);
    while at < samples.len() {
        let piece = [1, 441, 7, 1023, 160, 4999][turn % 6] * usize::from(channels);
        let end = samples.len().min(at + piece);
        let time_s = start_s + (at / usize::from(channels)) as f64 / f64::from(rate);
        let floats: Vec<f32> = samples[at..end].iter().map(|sample| f32::from(*sample) / 32768.0).collect();
        let samples = if as_f32 { PcmSamples::F32(&floats) } else { PcmSamples::I16(&samples[at..end]) };
        buffer.push_audio(&Pcm { samples, rate, channels, time_s }).unwrap();
        (at, turn) = (end, turn + 1);
    }
}

fn heard(buffer: &LiveBuffer, seconds: f64) -> Vec<f32> {
    buffer.clip(seconds, &Sampling::default()).unwrap().audio.unwrap().samples
}

fn snr_db(signal: &[f32], reference: &[f32]) -> f64 {
    let power: f64 = reference.iter().map(|r| f64::from(*r).powi(2)).sum();
    let noise: f64 = signal.iter().zip(reference).map(|(s, r)| f64::from(s - r).powi(2)).sum();
    10.0 * (power / noise.max(1e-30)).log10()
}

#[test]
fn sound_in_odd_pieces_is_that_of_the_file() {
    for (rate, channels) in [(44_100, 2), (48_000, 2), (16_000, 1), (8_000, 1), (96_000, 2), (22_050, 2)] {
        let samples = tones(rate, 3.0, channels, &[130.0, 440.0, 997.0, 3100.0]);
        let source = wav(&samples, rate, channels).into();
        let file = decode(&source, &Sampling::default(), &Limits::default(), &CancelToken::new()).unwrap();
        let expected = file.audio.unwrap().samples;
        for as_f32 in [false, true] {
            let mut buffer = buffer(10.0, 15.0);
            push(&mut buffer, &samples, rate, channels, 1_700_000_000.25, as_f32);
            let live = heard(&buffer, 10.0);
            let (missing, snr) = (expected.len() - live.len(), snr_db(&live, &expected));
            println!("{rate} Hz, {channels} channels, f32 {as_f32}: {snr:.1} dB, {missing} samples wait");
            assert!(snr > 80.0 && missing < 64, "{rate} Hz: {snr} dB, {missing} of {} wait", expected.len());
            let again = &mut self::buffer(10.0, 15.0);
            push(again, &samples, rate, channels, 1_700_000_000.25, as_f32);
            assert_eq!(heard(again, 10.0), live, "two runs");
        }
    }
}

#[test]
fn what_16_khz_cannot_hold_is_filtered_out() {
    let level = |hertz: f64| {
        let mut buffer = buffer(10.0, 15.0);
        push(&mut buffer, &tones(48_000, 1.0, 1, &[hertz]), 48_000, 1, 0.0, false);
        let samples = heard(&buffer, 10.0);
        let middle = &samples[2000..14_000];
        (middle.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / middle.len() as f64).sqrt() / (0.8 / 2f64.sqrt())
    };
    assert!((level(1_000.0) - 1.0).abs() < 0.01, "{}", level(1_000.0));
    assert!(level(10_000.0) < 0.01 && level(15_000.0) < 0.01, "{} {}", level(10_000.0), level(15_000.0));
}

#[test]
fn gaps_are_silence_and_everything_stands_where_its_stamp_says() {
    let mut buffer = buffer(10.0, 15.0);
    let level = [200u8; 16];
    for i in 0..20 {
        buffer.push_frame(&gray(&level, 100.0 + f64::from(i) * 0.1)).unwrap();
    }
    let loud = vec![16_384i16; 8_000];
    let pcm = |time_s| Pcm { samples: PcmSamples::I16(&loud), rate: 16_000, channels: 1, time_s };
    buffer.push_audio(&pcm(100.5)).unwrap();
    buffer.push_audio(&pcm(101.5)).unwrap();
    let clip = buffer.clip(10.0, &everything()).unwrap();
    assert!((clip.duration_s - 2.0).abs() < 1e-6 && clip.has_video && clip.has_audio, "{}", clip.duration_s);
    assert_eq!((clip.frames.len(), names(&clip)), (20, vec![]));
    let samples = clip.audio.unwrap().samples;
    assert_eq!(samples.len(), 32_000);
    for (from, to, expected) in [(0, 8_000, 0.0), (8_000, 16_000, 0.5), (16_000, 24_000, 0.0), (24_000, 32_000, 0.5)] {
        let off = samples[from..to].iter().filter(|sample| (**sample - expected).abs() > 1e-4).count();
        assert!(off == 0, "{from}..{to}: {off} samples are not {expected}");
    }
    // Only the end of it: the clip's own clock begins at 101.
    let clip = buffer.clip(1.0, &everything()).unwrap();
    assert_eq!(clip.audio.as_ref().unwrap().samples.len(), 16_000);
    assert!((clip.frames[0].time_s).abs() < 1e-6 && clip.frames.len() == 10, "{:?}", clip.frames);
    // Sound stops, pictures go on.
    for i in 0..40 {
        buffer.push_frame(&gray(&level, 102.0 + f64::from(i) * 0.1)).unwrap();
    }
    let clip = buffer.clip(2.0, &everything()).unwrap();
    assert_eq!((clip.has_audio, names(&clip)), (false, vec![Note::NO_AUDIO]));
}

#[test]
fn bursts_are_put_in_line_drift_is_taken_up_and_wrong_stamps_are_told() {
    let piece = vec![1000i16; 800];
    let pcm = |time_s| Pcm { samples: PcmSamples::I16(&piece), rate: 16_000, channels: 1, time_s };
    let mut burst = buffer(10.0, 15.0);
    (0..9).for_each(|_| burst.push_audio(&pcm(5.0)).unwrap());
    assert_eq!(heard(&burst, 10.0).len(), 9 * 800);
    // Stamps that run 4 % slow: what is too much is left out, and nothing is refused.
    let mut slow = buffer(60.0, 15.0);
    (0..600).for_each(|i| slow.push_audio(&pcm(f64::from(i) * 0.048)).unwrap());
    let seconds = heard(&slow, 60.0).len() as f64 / 16_000.0;
    assert!((28.0..29.5).contains(&seconds), "{seconds}");
    // The same stamp again and again.
    let mut stuck = buffer(10.0, 15.0);
    let errors = (0..60).filter(|_| stuck.push_audio(&pcm(0.0)).is_err()).count();
    assert!(errors >= 25, "{errors}");
    assert!(stuck.push_audio(&pcm(-5.0)).unwrap_err().message.contains("clear"));
}

#[test]
fn samples_that_are_no_numbers_are_silence_with_a_note() {
    let mut samples = vec![0.25f32; 16_000];
    samples[100] = f32::NAN;
    samples[200] = f32::INFINITY;
    let mut buffer = buffer(10.0, 15.0);
    buffer.push_audio(&Pcm { samples: PcmSamples::F32(&samples), rate: 16_000, channels: 1, time_s: 0.0 }).unwrap();
    let clip = buffer.clip(10.0, &Sampling::default()).unwrap();
    assert_eq!(names(&clip), [Note::NO_VIDEO, Note::DAMAGED]);
    assert!(clip.notes[1].message.starts_with("2 samples"), "{}", clip.notes[1].message);
    let heard = clip.audio.unwrap().samples;
    assert_eq!((heard[100], heard[200], heard[300]), (0.0, 0.0, 0.25));
}

#[test]
fn the_mean_of_all_channels_is_heard_and_rates_may_change() {
    let mut buffer = buffer(10.0, 15.0);
    let group: Vec<i16> = (0..64).map(|channel| if channel < 32 { 16_384 } else { 0 }).collect();
    let many = group.repeat(16_000);
    buffer.push_audio(&Pcm { samples: PcmSamples::I16(&many), rate: 16_000, channels: 64, time_s: 0.0 }).unwrap();
    let one = vec![0.25f32; 48_000];
    buffer.push_audio(&Pcm { samples: PcmSamples::F32(&one), rate: 48_000, channels: 1, time_s: 1.0 }).unwrap();
    let samples = heard(&buffer, 10.0);
    assert!((31_900..=32_000).contains(&samples.len()), "{}", samples.len());
    assert!(samples[10..31_900].iter().all(|sample| (sample - 0.25).abs() < 1e-3));
}

#[test]
fn old_things_go_and_memory_stays_bounded() {
    let mut buffer = buffer(2.0, 15.0);
    let sound = vec![5000i16; 2 * 1600];
    let (mut most, mut most_frames) = (0, 0);
    for i in 0..900 {
        let time_s = f64::from(i) / 30.0;
        buffer.push_frame(&gray(&[(i % 256) as u8; 16], time_s)).unwrap();
        if i % 3 == 0 {
            let samples = PcmSamples::I16(&sound);
            buffer.push_audio(&Pcm { samples, rate: 16_000, channels: 2, time_s }).unwrap();
        }
        most = most.max(buffer.memory_bytes());
        most_frames = most_frames.max(buffer.frame_count());
    }
    assert!((29..=32).contains(&most_frames), "{most_frames}");
    assert!(most <= 32 * 48 + 4 * (2 * 16_000 + 1600), "{most}");
    assert!((buffer.duration_s() - 2.0).abs() < 0.1, "{}", buffer.duration_s());
    let clip = buffer.clip(100.0, &everything()).unwrap();
    assert!((clip.duration_s - 2.0).abs() < 0.1 && clip.frames_decoded >= 28, "{clip:?}");
    assert!(clip.frames.iter().enumerate().all(|(at, frame)| frame.index == at as u64));
    let newest = i32::from(clip.frames.last().unwrap().rgb[0]);
    assert!((newest - (898 % 256)).abs() <= 3, "{newest}");
    buffer.clear();
    assert_eq!((buffer.frame_count(), buffer.memory_bytes(), buffer.duration_s()), (0, 0, 0.0));
    assert_eq!(buffer.clip(1.0, &Sampling::default()).unwrap_err().name(), "invalid_argument");
    buffer.push_frame(&gray(&[0; 16], 3.0)).unwrap();
    assert_eq!(names(&buffer.clip(1.0, &Sampling::default()).unwrap()), [Note::STILL_PICTURE]);
}

#[test]
fn pictures_that_come_too_fast_are_thinned_evenly() {
    for (rate, expected) in [(10.0, 80), (25.0, 120), (30.0, 120), (60.0, 120), (240.0, 120)] {
        let mut buffer = buffer(60.0, 15.0);
        for i in 0..(8.0 * rate) as u32 {
            buffer.push_frame(&gray(&[9; 16], f64::from(i) / rate)).unwrap();
        }
        assert!(buffer.frame_count().abs_diff(expected) <= 1, "{rate}: {}", buffer.frame_count());
    }
}

#[test]
fn frames_are_chosen_as_in_files() {
    let mut buffer = buffer(60.0, 240.0);
    (0..100).for_each(|i| buffer.push_frame(&gray(&[9; 16], 50.0 + f64::from(i) * 0.04)).unwrap());
    let indices = |sampling: &Sampling| -> Vec<u64> {
        buffer.clip(60.0, sampling).unwrap().frames.iter().map(|frame| frame.index).collect()
    };
    let few = Sampling { max_frames: 4, ..Sampling::default() };
    assert_eq!(indices(&few), [12, 37, 62, 87]);
    assert_eq!(indices(&Sampling { pick: Some(FramePick::At(2.0)), ..few.clone() }), [12, 37, 50, 62, 87]);
    let pairs = Sampling { max_frames: 0, pairs: 8, ..Sampling::default() };
    assert_eq!(indices(&pairs), [6, 7, 18, 19, 30, 31, 43, 44, 55, 56, 68, 69, 80, 81, 92, 93]);
    assert_eq!(buffer.clip(60.0, &pairs).unwrap().pairs, (0..16).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_used_is_refused_and_changes_nothing() {
    let options = LiveOptions::default;
    for bad in [
        LiveOptions { seconds: 0.0, ..options() },
        LiveOptions { seconds: f64::NAN, ..options() },
        LiveOptions { seconds: 121.0, ..options() },
        LiveOptions { max_side: 0, ..options() },
        LiveOptions { max_frames_per_second: 0.0, ..options() },
        LiveOptions { max_frames_per_second: f64::INFINITY, ..options() },
    ] {
        assert_eq!(LiveBuffer::new(bad).err().unwrap().name(), "invalid_argument");
    }
    let mut buffer = buffer(10.0, 15.0);
    let data = [0u8; 100];
    let packed = |format, width, height, length: usize, stride| RawFrame {
        format,
        width,
        height,
        planes: Planes::Packed(Plane { data: &data[..length], stride }),
        time_s: 0.0,
    };
    let short = packed(PixelFormat::Rgb24, 5, 4, 74, 20);
    let message = buffer.push_frame(&short).unwrap_err().message;
    assert!(message.contains("74 bytes, 1 less than the 75"), "{message}");
    buffer.push_frame(&packed(PixelFormat::Rgb24, 5, 4, 75, 20)).unwrap();
    buffer.clear();
    let narrow = packed(PixelFormat::Bgra32, 5, 4, 100, 19);
    assert!(buffer.push_frame(&narrow).unwrap_err().message.contains("1 less than the 20"));
    let wrong = packed(PixelFormat::I420, 4, 4, 100, 4);
    assert!(buffer.push_frame(&wrong).unwrap_err().message.contains("i420"));
    let large = packed(PixelFormat::Gray8, 16_384, 16_384, 100, 16_384);
    assert_eq!(buffer.push_frame(&large).unwrap_err().name(), "media_too_large");
    let pcm = |rate, channels, length: usize, time_s| Pcm {
        samples: PcmSamples::I16(&[0; 9][..length]),
        rate,
        channels,
        time_s,
    };
    for (rate, channels, length) in [(999, 1, 9), (384_001, 1, 9), (16_000, 0, 9), (16_000, 65, 0), (16_000, 2, 9)] {
        let error = buffer.push_audio(&pcm(rate, channels, length, 0.0)).unwrap_err();
        assert_eq!(error.name(), "invalid_argument", "{rate} {channels} {length}");
    }
    buffer.push_audio(&pcm(16_000, 2, 0, 0.0)).unwrap();
    assert_eq!((buffer.frame_count(), buffer.memory_bytes()), (0, 0));

    buffer.push_frame(&gray(&[0; 16], 10.0)).unwrap();
    for time_s in [f64::NAN, f64::INFINITY, 1e15, 9.8, 4000.0, -4000.0] {
        assert_eq!(buffer.push_frame(&gray(&[0; 16], time_s)).unwrap_err().name(), "invalid_argument", "{time_s}");
    }
    assert!(buffer.push_audio(&pcm(16_000, 1, 9, 1.7e9)).unwrap_err().message.contains("one clock"));
    buffer.push_frame(&gray(&[0; 16], 9.95)).unwrap();
    assert_eq!(buffer.frame_count(), 1);
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(buffer.clip(seconds, &Sampling::default()).unwrap_err().name(), "invalid_argument");
    }
    assert!(buffer.clip(1.0, &Sampling { max_side: 0, ..Sampling::default() }).is_err());
}

#[test]
fn names_are_stable() {
    let all = ["rgb24", "bgr24", "rgba32", "bgra32", "nv12", "i420", "gray8"];
    assert_eq!(PixelFormat::ALL.map(PixelFormat::name), all);
    assert!(all.iter().all(|name| PixelFormat::parse(name).unwrap().name() == *name));
    assert!(PixelFormat::parse("RGB24").unwrap_err().message.contains("bgra32"));
    assert!(PcmFormat::ALL.into_iter().all(|format| PcmFormat::parse(format.name()).unwrap() == format));
    assert!(PcmFormat::parse("s16").is_err());
    assert_eq!(Waveform::SAMPLE_RATE, 16_000);
}

#[test]
fn a_buffer_may_go_to_another_thread() {
    let mut moved = buffer(10.0, 15.0);
    moved.push_frame(&gray(&[0; 16], 0.0)).unwrap();
    let count = std::thread::spawn(move || {
        moved.push_frame(&gray(&[0; 16], 1.0)).unwrap();
        moved.frame_count()
    });
    assert_eq!(count.join().unwrap(), 2);
}
