//! One posterior out of four nets.

use super::expression::{normalise, LogPosteriors};

/// Temperatures: each net's logs are divided by its own, so that its mean confidence is its accuracy.
const TEMPERATURE: [f32; 4] = [1.2, 1.4, 1.6, 3.0];
/// Exponents of the product.
const WEIGHT: [f32; 4] = [0.55, 0.5, 0.5, 0.45];

/// The fused posterior over FACE7.
pub(super) fn fuse(nets: &LogPosteriors) -> [f32; 7] {
    let mut sum = [0.0f32; 7];
    for (logs, (t, w)) in nets.iter().zip(TEMPERATURE.into_iter().zip(WEIGHT)) {
        let mut tempered = logs.map(|log| log / t);
        normalise(&mut tempered);
        sum.iter_mut().zip(tempered).for_each(|(sum, log)| *sum += w * log);
    }
    normalise(&mut sum);
    sum.map(f32::exp)
}
