//! How something was said: pitch, liveliness, effort, speed and brightness of a voice, independent of the recording level.

use serde::{Deserialize, Serialize};

use super::frames::{band_range, clean, db, quantile, Cleaned, Frames, BANDS, HOP, HOP_S, WINDOW};
use super::pitch::{self, Pitch};
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::media::Waveform;

/// Level that [`condition`] gives the voice, in dB relative to full scale (root mean square of the frames with speech).
pub const CONDITIONED_DB: f32 = -26.0;
/// What [`condition`] keeps before and after the voice, in seconds.
const MARGIN_S: f32 = 0.1;
/// The most that [`condition`] gives, in seconds: what the Whisper encoder takes.
const LONGEST_S: f32 = 30.0;

/// The register that is not a woman's or a child's.
const MALE: &str = "male";

/// Pauses up to this many frames belong to the speech.
const SHORT_PAUSE: usize = 15;
/// A voice needs this many voiced frames in all, and in one piece.
const VOICED_FRAMES: usize = 10;
const VOICED_RUN: usize = 8;
/// Median correlation of voiced frames under which they are taken for noise.
const VOICED_STRENGTH: f32 = 0.52;
/// Correlation of frames that are a voice even if they hardly stand out of the rest.
const CLEAR_STRENGTH: f32 = 0.75;
/// A tone, not a voice: this many frames whose pitch moves less than this from one to the next, in semitones.
const STEADY_FRAMES: usize = 5;
const STEADY_ST: f32 = 0.01;
/// A voice moves at least this much in pitch, in semitones (90th minus 10th percentile): mains hum in noise does not.
const LEAST_RANGE_ST: f32 = 0.3;
/// Pitch farther than this from the median, in semitones, is an octave error.
const OCTAVE_ERROR_ST: f32 = 11.0;
/// How far the level falls between two syllable nuclei, in dB.
const SYLLABLE_DIP_DB: f32 = 2.0;

/// Measured prosody of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prosody {
    /// Median fundamental frequency in hertz; `None` with too little voiced speech.
    pub pitch_hz: Option<f32>,
    /// Low end of the pitch (20th percentile), in hertz: moves less with the mood than the median does.
    pub pitch_base_hz: Option<f32>,
    /// 90th minus 10th percentile of the fundamental frequency, in semitones.
    pub pitch_range_st: Option<f32>,
    /// Vocal effort in dB: power at 0.5-2 kHz over power at 0.125-0.5 kHz in the voiced frames. Free of the recording level.
    pub energy_db: f32,
    /// Syllable nuclei per second of speech.
    pub rate_sps: f32,
    /// Spectral tilt in dB: power at 1-3.5 kHz over power at 0.125-1 kHz in the voiced frames.
    pub brightness: f32,
    /// Seconds with speech, short pauses included.
    pub speech_s: f32,
    /// First and last moment with speech, in seconds from the start.
    pub span_s: (f32, f32),
    /// Level of the frames with speech, in dB relative to full scale. Says how it was recorded, not how loudly it was spoken.
    pub level_db: f32,
    /// The measures relative to the norms.
    pub z: ProsodyZ,
}

/// How far the measures lie from a neutral voice, in standard deviations; 0 where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ProsodyZ {
    /// Median pitch, relative to the register that the voice probably has.
    pub pitch: f32,
    /// Liveliness of the pitch.
    pub pitch_range: f32,
    /// Vocal effort.
    pub energy: f32,
    /// Speed.
    pub rate: f32,
    /// Brightness.
    pub brightness: f32,
}

impl ProsodyZ {
    /// In the order of the fields.
    pub fn to_array(self) -> [f32; 5] {
        [self.pitch, self.pitch_range, self.energy, self.rate, self.brightness]
    }
}

/// Mean and standard deviation that make a z-score of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ZNorm {
    /// Mean over neutral utterances.
    pub mean: f32,
    /// Standard deviation over utterances of every emotion.
    pub sd: f32,
}

impl ZNorm {
    fn z(self, value: f32) -> f32 {
        ((value - self.mean) / self.sd.max(1e-6)).clamp(-6.0, 6.0)
    }
}

/// A kind of voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// `male`, `female` or `child`.
    pub name: String,
    /// Median pitch of neutral speech, in hertz.
    pub pitch_hz: f32,
    /// Spread of the low end of the pitch over speakers and moods, in semitones.
    pub sd_st: f32,
    /// Share of voices, before hearing this one.
    pub prior: f32,
}

/// What is usual: the constants that z-scores are relative to. Written by the recipe into the pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProsodyNorms {
    /// Kinds of voice.
    pub registers: Vec<Register>,
    /// Semitones over the register's pitch.
    pub pitch: ZNorm,
    /// Of [`Prosody::pitch_range_st`].
    pub pitch_range: ZNorm,
    /// Of [`Prosody::energy_db`].
    pub energy: ZNorm,
    /// Of [`Prosody::rate_sps`].
    pub rate: ZNorm,
    /// Of [`Prosody::brightness`].
    pub brightness: ZNorm,
}

impl Default for ProsodyNorms {
    /// No norms: the z-scores are the measures themselves.
    fn default() -> Self {
        let unit = ZNorm { mean: 0.0, sd: 1.0 };
        Self { registers: Vec::new(), pitch: unit, pitch_range: unit, energy: unit, rate: unit, brightness: unit }
    }
}

impl ProsodyNorms {
    /// How far `prosody` lies from a neutral voice.
    ///
    /// `female` is the probability that the voice is a woman's or child's where something besides its pitch says so; it
    /// takes the place of the registers' priors.
    pub fn z(&self, prosody: &Prosody, female: Option<f32>) -> ProsodyZ {
        let over_register = match (prosody.pitch_hz, prosody.pitch_base_hz) {
            (Some(median), Some(base)) => Some(semitones(median) - self.register_pitch_st(base, female)),
            _ => None,
        };
        ProsodyZ {
            pitch: over_register.map_or(0.0, |st| self.pitch.z(st)),
            pitch_range: prosody.pitch_range_st.map_or(0.0, |st| self.pitch_range.z(st)),
            energy: self.energy.z(prosody.energy_db),
            rate: self.rate.z(prosody.rate_sps),
            brightness: self.brightness.z(prosody.brightness),
        }
    }

    /// The pitch that this voice would have in a neutral mood, in semitones over 1 Hz: the registers' mean, each weighted by how
    /// well the low end of the heard pitch fits it.
    fn register_pitch_st(&self, base_hz: f32, female: Option<f32>) -> f32 {
        let base = semitones(base_hz);
        let not_male: f32 = self.registers.iter().filter(|r| r.name != MALE).map(|r| r.prior).sum();
        let (mut total, mut sum) = (0.0, 0.0);
        for register in &self.registers {
            let prior = match female {
                Some(p) if register.name == MALE => 1.0 - p,
                Some(p) => p * register.prior / not_male.max(1e-6),
                None => register.prior,
            };
            let (usual, sd) = (semitones(register.pitch_hz), register.sd_st.max(0.1));
            let distance = (base - usual) / sd;
            let weight = (prior * (-0.5 * distance * distance).exp() / sd).max(1e-12);
            total += weight;
            sum += weight * usual;
        }
        if total > 0.0 {
            sum / total
        } else {
            base
        }
    }
}

/// Finds the voice in `audio` (16 kHz mono) and measures it; `None` when there is no voice in it.
///
/// The result does not depend on the recording level. Samples that are not finite count as 0. Fails only when cancelled.
pub fn measure(audio: &Waveform, norms: &ProsodyNorms, cancel: &CancelToken) -> Result<Option<Prosody>> {
    cancel.check()?;
    let Some(Cleaned { samples, peak }) = clean(audio) else { return Ok(None) };
    let frames = Frames::new(&samples, cancel)?;
    let mut pitch = pitch::track(&samples, cancel)?;
    drop_steady_tones(&mut pitch);
    let level = frames.level_db(125.0, 4_000.0);
    let Some(active) = speech_frames(&level, &pitch) else { return Ok(None) };

    let voiced: Vec<(usize, Pitch)> =
        pitch.iter().enumerate().filter(|(t, _)| active.contains(t)).filter_map(|(t, p)| Some((t, (*p)?))).collect();
    let mut f0: Vec<f32> = voiced.iter().map(|(_, p)| semitones(p.hz)).collect();
    let centre = quantile(&f0, 0.5);
    f0.retain(|st| (st - centre).abs() < OCTAVE_ERROR_ST);
    let (median, base) = (quantile(&f0, 0.5), quantile(&f0, 0.2));
    let range = quantile(&f0, 0.9) - quantile(&f0, 0.1);
    if range < LEAST_RANGE_ST {
        return Ok(None);
    }

    let spectrum = voiced_spectrum(&frames, &level, &active, &voiced);
    let band = |low, high| spectrum[band_range(low, high)].iter().sum::<f32>();
    let energy_db = db(band(500.0, 2_000.0)) - db(band(125.0, 500.0));
    let brightness = db(band(1_000.0, 3_500.0)) - db(band(125.0, 1_000.0));
    let speech_s = active.count as f32 * HOP_S;
    let nuclei = syllable_nuclei(&frames.level_db(250.0, 3_000.0), &pitch, &active);
    let rate_sps = nuclei as f32 / speech_s;

    let span_s = (active.first as f32 * HOP_S, (active.last * HOP + WINDOW) as f32 / Waveform::SAMPLE_RATE as f32);
    let mut prosody = Prosody {
        pitch_hz: Some(hertz(median)),
        pitch_base_hz: Some(hertz(base)),
        pitch_range_st: Some(range),
        energy_db,
        rate_sps,
        brightness,
        speech_s,
        span_s,
        level_db: speech_level_db(&samples, &active) + 20.0 * peak.log10(),
        z: ProsodyZ::default(),
    };
    prosody.z = norms.z(&prosody, None);
    Ok(Some(prosody))
}

/// What the Whisper encoder is given for the voice head: the stretch with speech, without rumble, at [`CONDITIONED_DB`].
///
/// `prosody` is what [`measure`] found in the same `audio`. Gives at most 30 s.
pub fn condition(audio: &Waveform, prosody: &Prosody) -> Waveform {
    let Some(Cleaned { samples, peak }) = clean(audio) else { return Waveform { samples: Vec::new() } };
    let rate = Waveform::SAMPLE_RATE as f32;
    let from = (((prosody.span_s.0 - MARGIN_S).max(0.0) * rate) as usize).min(samples.len());
    let to = ((prosody.span_s.1 + MARGIN_S).max(0.0) * rate) as usize;
    let longest = (from + (LONGEST_S * rate) as usize).min(samples.len());
    let gain = 10f32.powf((CONDITIONED_DB - prosody.level_db) / 20.0) * peak;
    Waveform { samples: samples[from..to.clamp(from, longest)].iter().map(|x| x * gain).collect() }
}

/// Which frames carry speech.
struct Active {
    frames: Vec<bool>,
    count: usize,
    first: usize,
    last: usize,
}

impl Active {
    fn contains(&self, t: &usize) -> bool {
        self.frames.get(*t).copied().unwrap_or(false)
    }
}

/// Frames that stand out of the noise near a voiced frame, and the short pauses between them; `None` without a voice.
fn speech_frames(level: &[f32], pitch: &[Option<Pitch>]) -> Option<Active> {
    let (floor, top) = (quantile(level, 0.05), quantile(level, 0.95));
    let threshold = (floor + (0.35 * (top - floor)).max(3.0)).max(top - 30.0).min(top - 3.0);
    let clear = |p: &Option<Pitch>| p.is_some_and(|p| p.strength >= CLEAR_STRENGTH);
    let loud: Vec<bool> =
        level.iter().zip(pitch).map(|(l, p)| *l > threshold || (*l > top - 20.0 && clear(p))).collect();
    let voiced: Vec<bool> = pitch.iter().zip(&loud).map(|(p, l)| p.is_some() && *l).collect();
    is_voice(pitch, &voiced).then_some(())?;

    let near: Vec<bool> = within(&voiced, SHORT_PAUSE);
    let mut frames: Vec<bool> = loud.iter().zip(&near).map(|(a, b)| *a && *b).collect();
    let first = frames.iter().position(|f| *f)?;
    let last = frames.iter().rposition(|f| *f)?;
    let mut pause = 0;
    for t in first..=last {
        if frames[t] {
            if pause <= SHORT_PAUSE {
                frames[t - pause..t].fill(true);
            }
            pause = 0;
        } else {
            pause += 1;
        }
    }
    let count = frames.iter().filter(|f| **f).count();
    Some(Active { frames, count, first, last })
}

/// Whether the voiced frames are a human voice rather than coloured noise or a steady tone.
fn is_voice(pitch: &[Option<Pitch>], voiced: &[bool]) -> bool {
    let (mut run, mut longest) = (0, 0);
    for v in voiced {
        run = if *v { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let strengths: Vec<f32> =
        pitch.iter().zip(voiced).filter(|(_, v)| **v).filter_map(|(p, _)| p.map(|p| p.strength)).collect();
    strengths.len() >= VOICED_FRAMES && longest >= VOICED_RUN && quantile(&strengths, 0.5) >= VOICED_STRENGTH
}

/// Takes out hum, beeps and held notes: the human voice never keeps its pitch so exactly.
fn drop_steady_tones(pitch: &mut [Option<Pitch>]) {
    let mut from = 0;
    for t in 1..=pitch.len() {
        let steady = match (pitch.get(t - 1), pitch.get(t)) {
            (Some(Some(a)), Some(Some(b))) => (semitones(b.hz) - semitones(a.hz)).abs() < STEADY_ST,
            _ => false,
        };
        if !steady {
            if t - from >= STEADY_FRAMES {
                pitch[from..t].fill(None);
            }
            from = t;
        }
    }
}

/// True within `reach` frames of a true one.
fn within(flags: &[bool], reach: usize) -> Vec<bool> {
    let mut out = vec![false; flags.len()];
    for (t, _) in flags.iter().enumerate().filter(|(_, f)| **f) {
        out[t.saturating_sub(reach)..(t + reach + 1).min(flags.len())].fill(true);
    }
    out
}

/// Mean power per band of the voiced frames, each at the same level, less the power of the frames without speech.
fn voiced_spectrum(frames: &Frames, level: &[f32], active: &Active, voiced: &[(usize, Pitch)]) -> [f32; BANDS] {
    let mut noise = [0.0f32; BANDS];
    let mut quiet = 0.0f32;
    for (t, bands) in frames.bands.iter().enumerate() {
        if !active.contains(&t) {
            quiet += 1.0;
            noise.iter_mut().zip(bands).for_each(|(n, b)| *n += b);
        }
    }
    if quiet >= 5.0 {
        noise.iter_mut().for_each(|n| *n /= quiet);
    } else {
        noise.fill(0.0);
    }
    let mut spectrum = [0.0f32; BANDS];
    for (t, _) in voiced {
        let Some(bands) = frames.bands.get(*t) else { continue };
        let gain = 10f32.powf(-level.get(*t).copied().unwrap_or(0.0) / 10.0);
        for ((s, b), n) in spectrum.iter_mut().zip(bands).zip(&noise) {
            *s += (b - n).max(0.02 * b) * gain;
        }
    }
    spectrum.iter_mut().for_each(|s| *s /= voiced.len().max(1) as f32);
    spectrum
}

/// Peaks of the smoothed level in voiced frames, each two with a dip between them.
fn syllable_nuclei(level: &[f32], pitch: &[Option<Pitch>], active: &Active) -> usize {
    let smooth: Vec<f32> = (0..level.len())
        .map(|t| {
            let piece = &level[t.saturating_sub(3)..(t + 4).min(level.len())];
            piece.iter().sum::<f32>() / piece.len() as f32
        })
        .collect();
    let (mut count, mut lowest) = (0, f32::INFINITY);
    let mut peak: Option<f32> = None;
    for (t, l) in smooth.iter().enumerate() {
        let voiced = active.contains(&t) && pitch.get(t).is_some_and(Option::is_some);
        lowest = lowest.min(*l);
        match peak {
            Some(top) if *l > top && voiced => peak = Some(*l),
            Some(top) if top - *l >= SYLLABLE_DIP_DB => {
                count += 1;
                (peak, lowest) = (None, *l);
            }
            None if voiced && *l - lowest >= SYLLABLE_DIP_DB => peak = Some(*l),
            _ => {}
        }
    }
    count + usize::from(peak.is_some())
}

/// Root mean square of the frames with speech, in dB relative to 1.
fn speech_level_db(samples: &[f32], active: &Active) -> f32 {
    let (mut sum, mut count) = (0.0f64, 0.0f64);
    for (t, frame) in samples.chunks(HOP).enumerate() {
        if active.contains(&t) {
            sum += frame.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
            count += frame.len() as f64;
        }
    }
    (10.0 * (sum / count.max(1.0)).max(1e-20).log10()) as f32
}

fn semitones(hz: f32) -> f32 {
    12.0 * hz.max(1e-3).log2()
}

fn hertz(semitones: f32) -> f32 {
    (semitones / 12.0).exp2()
}
