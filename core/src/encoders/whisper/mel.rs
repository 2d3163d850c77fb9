//! Sound -> log-mel spectrogram, as `WhisperFeatureExtractor` of transformers and `whisper/audio.py` of OpenAI do it.

use realfft::RealFftPlanner;

use super::matrix::Matrix;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// Mel bands.
pub const MEL_BANDS: usize = 80;
/// Samples between frames: 10 ms.
pub const HOP: usize = 160;
const FFT: usize = 400;
const BINS: usize = FFT / 2 + 1;
const SAMPLE_RATE: f64 = 16_000.0;
/// Samples are nominally in -1..1; beyond this they are cut, so that no square overflows.
const LOUDEST: f32 = 1e6;
/// Frames between looks at the cancel token.
const CANCEL_FRAMES: usize = 1024;

/// The log-mel front end: a periodic Hann window of 400 samples, hop 160, 80 mel bands on Slaney's scale up to 8 kHz.
pub struct LogMel {
    window: Vec<f32>,
    /// Per band: first bin and the weights from there on. A triangle covers few of the 201 bins.
    bands: Vec<(usize, Vec<f32>)>,
    fft: std::sync::Arc<dyn realfft::RealToComplex<f32>>,
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMel {
    /// Builds the window and the filters.
    pub fn new() -> Self {
        let step = 2.0 * std::f64::consts::PI / FFT as f64;
        let window = (0..FFT).map(|i| (0.5 - 0.5 * (step * i as f64).cos()) as f32).collect();
        Self { window, bands: mel_bands(), fft: RealFftPlanner::new().plan_fft_forward(FFT) }
    }

    /// The window, 400 values.
    pub fn window(&self) -> &[f32] {
        &self.window
    }

    /// For each band its first bin (of 201, 40 Hz apart) and the weights from there on.
    pub fn bands(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.bands.iter().map(|(first, weights)| (*first, weights.as_slice()))
    }

    /// `[samples.len() / 160, 80]`: log10 of the band energies, no lower than 8 below the loudest, then `(x + 4) / 4`.
    ///
    /// The ends are mirrored by 200 samples. The loudest value is taken over exactly the samples given: padding with
    /// zeros first (as recognition of 30 s windows does) is up to the caller. Samples that are not finite count as 0.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn compute(&self, samples: &[f32], cancel: &CancelToken) -> Result<Matrix> {
        let frames = samples.len() / HOP;
        let mut mel = Matrix::zeros(frames, MEL_BANDS);
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0.0f32; BINS];
        let mut loudest = f32::NEG_INFINITY;
        for (frame, row) in mel.data.chunks_exact_mut(MEL_BANDS).enumerate() {
            if frame % CANCEL_FRAMES == 0 {
                cancel.check()?;
            }
            let start = (frame * HOP) as isize - (FFT / 2) as isize;
            for (offset, (value, window)) in input.iter_mut().zip(&self.window).enumerate() {
                let sample = samples[mirrored(start + offset as isize, samples.len())];
                *value = if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) * window } else { 0.0 };
            }
            self.fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .map_err(|error| Error::internal(format!("Fourier transform failed: {error}")))?;
            power.iter_mut().zip(&spectrum).for_each(|(power, bin)| *power = bin.norm_sqr());
            for (value, (first, weights)) in row.iter_mut().zip(&self.bands) {
                let energy: f32 = weights.iter().zip(&power[*first..]).map(|(weight, power)| weight * power).sum();
                *value = energy.max(1e-10).log10();
                loudest = loudest.max(*value);
            }
        }
        let floor = loudest - 8.0;
        mel.data.iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
        Ok(mel)
    }
}

/// The index of sample `at` when both ends of `len` samples are mirrored, the end sample itself not repeated.
fn mirrored(at: isize, len: usize) -> usize {
    let last = len as isize - 1;
    if last <= 0 {
        return 0;
    }
    let at = at.rem_euclid(2 * last);
    (if at > last { 2 * last - at } else { at }) as usize
}

/// Triangular filters of unit area on Slaney's mel scale (linear below 1 kHz, logarithmic above), 0 Hz to 8 kHz.
fn mel_bands() -> Vec<(usize, Vec<f32>)> {
    let log_step = 6.4f64.ln() / 27.0;
    let to_hertz = |mel: f64| if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * log_step).exp() };
    let top = 15.0 + (8000.0f64 / 1000.0).ln() / log_step;
    let edges: Vec<f64> = (0..MEL_BANDS + 2).map(|i| to_hertz(top * i as f64 / (MEL_BANDS + 1) as f64)).collect();
    edges
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let weight = |bin: usize| {
                let hertz = bin as f64 * SAMPLE_RATE / FFT as f64;
                let slope = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre));
                (slope.max(0.0) * 2.0 / (high - low)) as f32
            };
            let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|&weight| weight > 0.0).collect();
            (first, weights)
        })
        .collect()
}
