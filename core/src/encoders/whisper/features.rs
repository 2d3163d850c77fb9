//! Hidden states of the encoder, and what the voice head reads of them.

use super::encoder::{HIDDEN, LAYERS};
use super::matrix::Matrix;

/// Hidden states of the four encoder layers over a clip.
#[derive(Debug, Clone)]
pub struct HiddenStates {
    /// Four of `[frames, 384]`, one frame each 20 ms. The last is after the encoder's final norm, as in transformers.
    pub layers: Vec<Matrix>,
}

impl HiddenStates {
    /// Frames in time.
    pub fn frames(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.rows)
    }
}

/// Length of what [`pool_statistics`] gives: layers x (mean, standard deviation) x width.
pub const POOLED: usize = LAYERS * 2 * HIDDEN;

/// Mean and population standard deviation over time, `[layer 0 mean, layer 0 std, layer 1 mean, …]`, 3072 values.
///
/// Zeros for a clip without frames.
pub fn pool_statistics(states: &HiddenStates) -> Vec<f32> {
    let mut pooled = Vec::with_capacity(POOLED);
    for layer in &states.layers {
        let (mut sum, mut squares) = (vec![0.0f64; HIDDEN], vec![0.0f64; HIDDEN]);
        for row in layer.iter_rows() {
            sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let count = layer.rows.max(1) as f64;
        sum.iter_mut().for_each(|sum| *sum /= count);
        for row in layer.iter_rows() {
            for ((square, mean), &x) in squares.iter_mut().zip(&sum).zip(row) {
                *square += (f64::from(x) - mean) * (f64::from(x) - mean);
            }
        }
        pooled.extend(sum.iter().map(|&mean| mean as f32));
        pooled.extend(squares.iter().map(|&square| (square / count).sqrt() as f32));
    }
    pooled.resize(POOLED, 0.0);
    pooled
}
