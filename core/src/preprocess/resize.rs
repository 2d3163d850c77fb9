//! Resizing of RGB pictures as Pillow 10.1.0 does it, bit for bit.
//!
//! Follows `src/libImaging/Resample.c` of that release. Windows and weights are computed in f64, the weights rounded to
//! fixed point with 22 fractional bits (half away from zero), rows are resampled first and the result is rounded and clipped
//! to 8 bits, then columns in the same way. Upstream pins that release, and later ones differ (Pillow 13 may take columns
//! first); one grey level in the resized picture is enough to change the model's answer.

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Bits behind the point of a weight: 32, less 8 of the pixel and 2 of headroom for the bicubic overshoot.
const FRACTION_BITS: u32 = 32 - 8 - 2;
const CHANNELS: usize = 3;
/// Longest side, in and out, in pixels; weights and windows are computed in numbers that are exact up to here.
const MAX_SIDE: usize = 1 << 16;

/// How a pixel is made from those around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle two pixels wide (`Image.BILINEAR`).
    Bilinear,
    /// The cubic with a = -0.5, four pixels wide (`Image.BICUBIC`).
    Bicubic,
}

impl Filter {
    /// Half the filter's width, in source pixels when not shrinking.
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Filter::Bilinear if x < 1.0 => 1.0 - x,
            Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The source pixels that one target pixel is made from, and their fixed-point weights.
#[derive(Debug)]
struct Window {
    first: usize,
    weights: Vec<i32>,
}

/// One window per target pixel along an axis. Shrinking widens the filter by the scale, so that no source pixel is left out.
fn windows(from: usize, to: usize, filter: Filter) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let filter_scale = scale.max(1.0);
    let support = filter.support() * filter_scale;
    (0..to)
        .map(|target| {
            let center = (target as f64 + 0.5) * scale;
            // Casts of floats stop at the range's ends, which is the clamp to the picture's edge on the left.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let mut weights: Vec<f64> = (first..end)
                .map(|source| filter.weight((source as f64 - center + 0.5) * (1.0 / filter_scale)))
                .collect();
            // One after the other, as the original adds them.
            let sum = weights.iter().fold(0.0, |sum, w| sum + w);
            if sum != 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            }
            Window { first, weights: weights.into_iter().map(fixed_point).collect() }
        })
        .collect()
}

/// Rounded half away from zero.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1u32 << FRACTION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// A sum of products of pixels and fixed-point weights, rounded to the nearest level and clipped to 8 bits.
fn level(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// The source pixels that one target pixel is made from, and where their weights begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizeWindow {
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub count: u32,
    /// The position of the first one's weight in [`ResizeWindows::weights`].
    pub weights: u32,
}

/// All that resizing along one axis needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeWindows {
    /// One for each target pixel. Neither their first pixels nor their ends ever decrease.
    pub windows: Vec<ResizeWindow>,
    /// With 22 fractional bits.
    pub weights: Vec<i32>,
}

/// What [`resize()`] computes with along an axis of `from` pixels that becomes one of `to`, for the kernels on a GPU. Where the
/// length stays, each pixel is made from itself.
///
/// # Errors
/// `invalid_argument` when a side is 0 or beyond 65536.
pub fn resize_windows(from: usize, to: usize, filter: Filter) -> Result<ResizeWindows> {
    if ![from, to].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Err(Error::invalid_argument(format!(
            "cannot resize {from} pixels to {to}; sides go from 1 to {MAX_SIDE}"
        )));
    }
    let mut table = ResizeWindows { windows: Vec::with_capacity(to), weights: Vec::new() };
    let mut push = |first: usize, weights: &[i32]| {
        let window =
            ResizeWindow { first: first as u32, count: weights.len() as u32, weights: table.weights.len() as u32 };
        table.windows.push(window);
        table.weights.extend(weights);
    };
    if from == to {
        (0..to).for_each(|at| push(at, &[1 << FRACTION_BITS]));
    } else {
        windows(from, to, filter).iter().for_each(|window| push(window.first, &window.weights));
    }
    Ok(table)
}

const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Resizes `rgb` `[height, width, 3]` to `[to_height, to_width, 3]`, without regard to the aspect ratio.
///
/// An axis that keeps its length is left as it is.
///
/// # Errors
/// `invalid_argument` when a side is 0 or beyond 65536, or `rgb` is not `height * width * 3` long.
pub fn resize(
    rgb: &[u8],
    width: usize,
    height: usize,
    to_width: usize,
    to_height: usize,
    filter: Filter,
) -> Result<Vec<u8>> {
    let sides = [width, height, to_width, to_height];
    if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
        return Err(Error::invalid_argument(format!(
            "cannot resize a picture of {width}x{height} to {to_width}x{to_height}; sides go from 1 to {MAX_SIDE}"
        )));
    }
    check_rgb(rgb, width, height)?;
    let rows = if to_width == width { rgb.to_vec() } else { resize_rows(rgb, width, height, to_width, filter) };
    Ok(if to_height == height { rows } else { resize_columns(&rows, to_width, height, to_height, filter) })
}

pub(super) fn check_rgb(rgb: &[u8], width: usize, height: usize) -> Result<()> {
    let needed = width.checked_mul(height).and_then(|n| n.checked_mul(CHANNELS));
    if needed != Some(rgb.len()) {
        return Err(Error::invalid_argument(format!(
            "an RGB picture of {width}x{height} has 3 bytes for each pixel, this one has {} in all",
            rgb.len()
        )));
    }
    Ok(())
}

fn resize_rows(rgb: &[u8], width: usize, height: usize, to_width: usize, filter: Filter) -> Vec<u8> {
    let windows = windows(width, to_width, filter);
    let mut out = vec![0; to_width * height * CHANNELS];
    out.par_chunks_exact_mut(to_width * CHANNELS).zip(rgb.par_chunks_exact(width * CHANNELS)).for_each(|(out, row)| {
        for (out, window) in out.chunks_exact_mut(CHANNELS).zip(&windows) {
            let mut sums = [HALF; CHANNELS];
            for (pixel, &weight) in row.chunks_exact(CHANNELS).skip(window.first).zip(&window.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = level(sum);
            }
        }
    });
    out
}

fn resize_columns(rgb: &[u8], width: usize, height: usize, to_height: usize, filter: Filter) -> Vec<u8> {
    let windows = windows(height, to_height, filter);
    let stride = width * CHANNELS;
    let mut out = vec![0; to_height * stride];
    out.par_chunks_exact_mut(stride).zip(&windows).for_each(|(out, window)| {
        let mut sums = vec![HALF; stride];
        for (row, &weight) in rgb.chunks_exact(stride).skip(window.first).zip(&window.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = level(sum);
        }
    });
    out
}
