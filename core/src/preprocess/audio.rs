//! Sound for the voice encoder.

use crate::error::{Error, Result};

/// Added to the variance, as in transformers' `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`.
const EPS: f64 = 1e-7;

/// Refuses samples that are not finite numbers.
///
/// # Errors
/// `invalid_argument` naming the first one.
pub(crate) fn check_samples(samples: &[f32]) -> Result<()> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(at) => Err(Error::invalid_argument(format!("sample {at} of the recording is not a finite number"))),
        None => Ok(()),
    }
}

/// `samples` less their mean, divided by the root of their (population) variance plus 1e-7, over the whole recording.
///
/// Silence stays silence. Sums are taken in f64.
///
/// # Errors
/// `invalid_argument` when a sample is not a finite number.
pub fn zero_mean_unit_variance(samples: &[f32]) -> Result<Vec<f32>> {
    check_samples(samples)?;
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().copied().map(f64::from).sum::<f64>() / count;
    let variance = samples.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + EPS).sqrt();
    Ok(samples.iter().map(|&s| ((f64::from(s) - mean) * scale) as f32).collect())
}
