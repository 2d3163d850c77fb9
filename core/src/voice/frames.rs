//! Short-time spectra of a waveform, kept as coarse bands.

use realfft::RealFftPlanner;

use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::media::Waveform;

/// Samples between frames: 10 ms.
pub(super) const HOP: usize = 160;
/// Samples of a frame: 25 ms.
pub(super) const WINDOW: usize = 400;
/// Seconds between frames.
pub(super) const HOP_S: f32 = 0.01;
/// Bands of 125 Hz, from 0 to 8 kHz.
pub(super) const BANDS: usize = 64;
/// Width of a band in hertz.
const BAND_HZ: f32 = 125.0;

const FFT: usize = 512;
const BINS_PER_BAND: usize = FFT / 2 / BANDS;
/// Frames between two looks at the cancel token.
const FRAMES_PER_CHECK: usize = 500;

/// Power over time and frequency.
pub(super) struct Frames {
    /// `[frames][BANDS]`, power.
    pub bands: Vec<[f32; BANDS]>,
}

impl Frames {
    /// Frames of `samples` (16 kHz), Hann window, no padding: frame `t` starts at sample `t * HOP`.
    pub fn new(samples: &[f32], cancel: &CancelToken) -> Result<Self> {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FFT);
        let window: Vec<f32> =
            (0..WINDOW).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos()).collect();
        let mut input = fft.make_input_vec();
        let mut spectrum = fft.make_output_vec();
        let mut scratch = fft.make_scratch_vec();
        let mut bands = Vec::with_capacity(samples.len() / HOP);
        for (t, frame) in samples.windows(WINDOW).step_by(HOP).enumerate() {
            if t % FRAMES_PER_CHECK == 0 {
                cancel.check()?;
            }
            input.fill(0.0);
            for ((slot, x), w) in input.iter_mut().zip(frame).zip(&window) {
                *slot = x * w;
            }
            fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .map_err(|error| Error::internal(format!("short-time spectrum failed: {error}")))?;
            let mut power = [0.0; BANDS];
            for (band, bins) in power.iter_mut().zip(spectrum.chunks_exact(BINS_PER_BAND)) {
                *band = bins.iter().map(|c| c.norm_sqr()).sum();
            }
            bands.push(power);
        }
        Ok(Self { bands })
    }

    /// Level of each frame between `low` and `high` hertz, in dB.
    pub fn level_db(&self, low: f32, high: f32) -> Vec<f32> {
        let range = band_range(low, high);
        self.bands.iter().map(|b| db(b[range.clone()].iter().sum())).collect()
    }
}

/// The bands that lie between `low` and `high` hertz.
pub(super) fn band_range(low: f32, high: f32) -> std::ops::Range<usize> {
    let low = ((low / BAND_HZ).round() as usize).min(BANDS);
    low..((high / BAND_HZ).round() as usize).clamp(low, BANDS)
}

/// Power in dB, with a floor of -100 dB relative to 1.
pub(super) fn db(power: f32) -> f32 {
    10.0 * power.max(1e-10).log10()
}

/// The value below which the share `q` (0..1) of `values` lies; 0 for none.
pub(super) fn quantile(values: &[f32], q: f32) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q.clamp(0.0, 1.0) * last as f32;
    let low = at.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    a + (b - a) * (at - low as f32)
}

/// A waveform ready for measuring.
pub(super) struct Cleaned {
    /// Finite, without what is below about 70 Hz, with a peak of 1.
    pub samples: Vec<f32>,
    /// What the samples were divided by.
    pub peak: f32,
}

/// Two one-pole high-pass filters (70 Hz), then division by the peak. Samples that are not finite count as 0.
///
/// `None` when there is nothing to hear: too short for one frame, or a peak under -90 dB relative to full scale.
pub(super) fn clean(audio: &Waveform) -> Option<Cleaned> {
    if audio.samples.len() < WINDOW {
        return None;
    }
    let mut samples: Vec<f32> =
        audio.samples.iter().map(|x| if x.is_finite() { x.clamp(-1e6, 1e6) } else { 0.0 }).collect();
    let keep = (-std::f32::consts::TAU * 70.0 / Waveform::SAMPLE_RATE as f32).exp();
    for _ in 0..2 {
        let (mut previous, mut out) = (samples.first().copied().unwrap_or(0.0), 0.0);
        for x in &mut samples {
            out = keep * (out + *x - previous);
            previous = *x;
            *x = out;
        }
    }
    let peak = samples.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    if peak < 3e-5 {
        return None;
    }
    samples.iter_mut().for_each(|x| *x /= peak);
    Some(Cleaned { samples, peak })
}
