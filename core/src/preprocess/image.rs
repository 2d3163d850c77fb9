//! RGB pictures as planes of f32.
//!
//! [`clip_normalised`] and [`unit_range`] are torchvision's `ToTensor` with and without `Normalize`; [`clip_picture`] is
//! upstream's `Blip2ImageEvalProcessor` for the picture encoder, [`unit_picture`] what the face and motion encoders were fed.

use super::resize::{check_rgb, resize, Filter};
use crate::error::Result;

/// Mean of red, green and blue over CLIP's training pictures (`OPENAI_CLIP_MEAN`).
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Their standard deviation (`OPENAI_CLIP_STD`).
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// `rgb` `[height, width, 3]`, 0..=255, as planes `[3, height, width]` of f32 in 0..=1.
///
/// # Errors
/// `invalid_argument` when `rgb` is not `height * width * 3` long.
pub fn unit_range(rgb: &[u8], width: usize, height: usize) -> Result<Vec<f32>> {
    planes(rgb, width, height, |value, _| value)
}

/// `rgb` `[height, width, 3]`, 0..=255, as planes `[3, height, width]` of f32: scaled to 0..=1, less CLIP's mean, divided by
/// CLIP's standard deviation.
///
/// # Errors
/// As [`unit_range`].
pub fn clip_normalised(rgb: &[u8], width: usize, height: usize) -> Result<Vec<f32>> {
    planes(rgb, width, height, |value, channel| (value - CLIP_MEAN[channel]) / CLIP_STD[channel])
}

/// The picture encoder's input: `rgb` `[height, width, 3]` resized to a square of `side` pixels (bicubic, the aspect ratio is
/// not kept) and normalised; `[3, side, side]`.
///
/// # Errors
/// As [`resize()`].
pub fn clip_picture(rgb: &[u8], width: usize, height: usize, side: usize) -> Result<Vec<f32>> {
    clip_normalised(&resize(rgb, width, height, side, side, Filter::Bicubic)?, side, side)
}

/// One frame for the face and motion encoders: `rgb` `[height, width, 3]` resized to a square of `side` pixels (bilinear, the
/// aspect ratio is not kept), in 0..=1, not normalised; `[3, side, side]`.
///
/// # Errors
/// As [`resize()`].
pub fn unit_picture(rgb: &[u8], width: usize, height: usize, side: usize) -> Result<Vec<f32>> {
    unit_range(&resize(rgb, width, height, side, side, Filter::Bilinear)?, side, side)
}

/// Pixels `[height, width, 3]` to planes `[3, height, width]`, through `map` of the value in 0..=1 and its channel (0..3).
fn planes(rgb: &[u8], width: usize, height: usize, map: impl Fn(f32, usize) -> f32) -> Result<Vec<f32>> {
    check_rgb(rgb, width, height)?;
    let values = (0..3).flat_map(|channel| rgb.chunks_exact(3).map(move |pixel| (pixel[channel], channel)));
    Ok(values.map(|(value, channel)| map(f32::from(value) / 255.0, channel)).collect())
}
