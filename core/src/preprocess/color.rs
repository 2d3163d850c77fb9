//! YUV pictures to RGB in integers: what libswscale computes where nothing is scaled, bit for bit.
//!
//! [`crate::media`] converts with libswscale. The kernels on a GPU (`core/kernels/pixels.cuh`) cannot; they compute what is written here,
//! which a test compares with libswscale. Followed is version 6 (FFmpeg 5.1) as `media::convert` sets it up: full chroma, accurate
//! rounding, bilinear. The steps:
//!
//! 1. Chroma, which has half the columns and rows and is taken to lie in the middle of four luma samples, is interpolated along rows:
//!    two samples at most, weights in 1/16384, the sum cut to 7 bits more than a sample of 8 bits has.
//! 2. Then along columns, weights in 1/4096, rounded to 9 bits more. A row that lies nearer to the first of its two chroma rows takes
//!    that one alone, and every other row the mean of both: libswscale's shortcut, not an interpolation.
//! 3. Red, green and blue are sums of products with 22 fractional bits, rounded and clipped. A sum beyond 2^31 (blue at its brightest
//!    and most saturated, which no camera sends) has wrapped around and becomes 0.

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Which mixture of red, green and blue luma is. The numbers are those of libswscale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMatrix {
    /// ITU-R BT.601: standard definition, JPEG.
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
    /// The FCC's of 1953.
    Fcc,
    /// SMPTE 240M.
    Smpte240m,
    /// ITU-R BT.2020.
    Bt2020,
}

impl ColorMatrix {
    /// What red gains from V, blue from U, and green loses to U and V, in 1/65536, for values of limited range.
    fn gains(self) -> [i64; 4] {
        match self {
            ColorMatrix::Bt601 => [104_597, 132_201, 25_675, 53_279],
            ColorMatrix::Bt709 => [117_489, 138_438, 13_975, 34_925],
            ColorMatrix::Fcc => [104_448, 132_798, 24_759, 53_109],
            ColorMatrix::Smpte240m => [117_579, 136_230, 16_907, 35_559],
            ColorMatrix::Bt2020 => [110_013, 140_363, 12_277, 42_626],
        }
    }
}

/// The factors of step 3, with 13 fractional bits, and what is taken off luma, with 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColorCoefficients {
    /// Luma of black.
    pub y_offset: i32,
    /// Of luma.
    pub y: i32,
    /// Of V in red.
    pub v_to_r: i32,
    /// Of V in green.
    pub v_to_g: i32,
    /// Of U in green.
    pub u_to_g: i32,
    /// Of U in blue.
    pub u_to_b: i32,
}

impl ColorCoefficients {
    /// For pictures of `matrix` whose values go from 0 to 255, or, where the range is not full, from 16 to 235.
    pub fn new(matrix: ColorMatrix, is_full_range: bool) -> Self {
        let ranged = |gain: i64| if is_full_range { gain * 224 / 255 } else { gain };
        let [v_to_r, u_to_b, u_to_g, v_to_g] = matrix.gains().map(ranged);
        let (y, y_offset) = if is_full_range { (1 << 16, 0) } else { ((255 << 16) / 219, 16 << 9) };
        let rounded = |gain: i64| (((gain << 13) + (1 << 15)) >> 16) as i32;
        Self {
            y_offset,
            y: rounded(y),
            v_to_r: rounded(v_to_r),
            v_to_g: rounded(-v_to_g),
            u_to_g: rounded(-u_to_g),
            u_to_b: rounded(u_to_b),
        }
    }

    /// Step 3: luma with 9 more bits than 8, and chroma with 9 more, less its middle.
    fn rgb(&self, y: i32, u: i32, v: i32) -> [u8; 3] {
        let light = ((y - self.y_offset) * self.y + (1 << 21)) as u32;
        let product = |value: i32, factor: i32| (value as u32).wrapping_mul(factor as u32);
        [
            level(light.wrapping_add(product(v, self.v_to_r))),
            level(light.wrapping_add(product(v, self.v_to_g)).wrapping_add(product(u, self.u_to_g))),
            level(light.wrapping_add(product(u, self.u_to_b))),
        ]
    }
}

/// A sum with 22 fractional bits as a level; what has wrapped around to a negative number is 0.
fn level(sum: u32) -> u8 {
    if (sum as i32) < 0 {
        0
    } else {
        (sum.min((1 << 30) - 1) >> 22) as u8
    }
}

/// The chroma samples that one column or row of luma is made with: `first` and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChromaTap {
    /// Column or row of chroma.
    pub first: u32,
    /// Its weight.
    pub weight: i16,
    /// The weight of the next one. 0 where there is none.
    pub next_weight: i16,
}

/// Weights along rows add up to this.
const COLUMN_UNIT: i64 = 1 << 14;
/// Weights along columns add up to this.
const ROW_UNIT: i64 = 1 << 12;
/// Weights before rounding add up to this or a little less.
const WHOLE: i64 = 1 << 54;

/// One tap for each of `width` columns of luma; weights add up to 16384.
pub fn column_taps(width: usize) -> Vec<ChromaTap> {
    taps(width, COLUMN_UNIT, 4).into_iter().map(|taps| taps.two()).collect()
}

/// One tap for each of `height` rows of luma; weights add up to 4096.
pub fn row_taps(height: usize) -> Vec<ChromaTap> {
    let nearest = |taps: Taps| {
        let [_, second, ..] = taps.weights;
        let (weight, next_weight) = if second < ROW_UNIT / 2 { (4096, 0) } else { (2048, 2048) };
        ChromaTap { first: taps.first as u32, weight, next_weight }
    };
    taps(height, ROW_UNIT, 2).into_iter().map(nearest).collect()
}

/// Weights of the samples from `first` on. Unused ones are 0.
#[derive(Debug, Clone, Copy)]
struct Taps {
    first: i64,
    weights: [i64; 4],
}

impl Taps {
    fn two(&self) -> ChromaTap {
        let leading = self.weights.iter().take_while(|weight| **weight == 0).count();
        let mut weights = self.weights.iter().skip(leading).map(|&weight| weight as i16);
        let mut next = || weights.next().unwrap_or(0);
        ChromaTap { first: (self.first + leading as i64) as u32, weight: next(), next_weight: next() }
    }
}

/// Interpolation of half as many samples (rounded up) to `to`, by triangles two samples wide, as libswscale builds such filters: its
/// small pictures, odd sizes and edges come out of how it does so. Weights are rounded so that they add up to `unit`; filters have a
/// `multiple` of taps unless one is enough.
fn taps(to: usize, unit: i64, multiple: usize) -> Vec<Taps> {
    let (from, to) = (to.div_ceil(2) as i64, to as i64);
    if to < 2 {
        return vec![Taps { first: 0, weights: [unit, 0, 0, 0] }; to as usize];
    }
    // In 1/65536 of a sample; positions are in half of those.
    let step = ((from << 16) + (to >> 1)) / to;
    // A filter as wide as the triangle, but narrower than the picture by two.
    let size = (from - 2).clamp(1, 3);
    let mut taps: Vec<Taps> = (0..to).map(|target| triangle(step - (1 << 16) + 2 * step * target, size)).collect();
    let used = shorten(&mut taps, size as usize);
    let size = if used == 1 && multiple == 2 { 1 } else { used.next_multiple_of(multiple) };
    for taps in &mut taps {
        taps.weights.iter_mut().skip(size).for_each(|weight| *weight = 0);
        taps.keep_inside(from, size as i64);
        taps.round(unit, size);
    }
    taps
}

/// The weights of `size` samples around `position`, in 1/131072 of a sample.
fn triangle(position: i64, size: i64) -> Taps {
    let first = (position - (size - 2) * (1 << 16)) / (1 << 17);
    let mut weights = [0; 4];
    for (sample, weight) in (first..first + size).zip(&mut weights) {
        let distance = (sample * (1 << 17) - position).abs() << 13;
        *weight = ((1 << 30) - distance).max(0) * (WHOLE >> 30);
    }
    Taps { first, weights }
}

/// Drops taps at either end that weigh less than 2 in 1000 together, without letting a filter begin after the next one. How many taps the
/// longest has.
fn shorten(taps: &mut [Taps], size: usize) -> usize {
    let is_too_much = |sum: i64| sum as f64 > 0.002 * WHOLE as f64;
    let (mut longest, mut next_first) = (0, i64::MAX);
    for taps in taps.iter_mut().rev() {
        let mut dropped = 0;
        for _ in 0..size {
            dropped += taps.weights.first().copied().unwrap_or(0);
            if is_too_much(dropped) || taps.first >= next_first {
                break;
            }
            taps.weights.rotate_left(1);
            if let Some(last) = taps.weights.last_mut() {
                *last = 0;
            }
            taps.first += 1;
        }
        next_first = taps.first;
        let mut dropped = 0;
        let ends = taps.weights.iter().take(size).skip(1).rev().take_while(|weight| {
            dropped += **weight;
            !is_too_much(dropped)
        });
        longest = longest.max(size - ends.count());
    }
    longest
}

impl Taps {
    /// Moves what lies outside of `0..from` to the sample at the edge, and the filter of `size` taps inside where it fits.
    fn keep_inside(&mut self, from: i64, size: i64) {
        let mut first = self.first.max(0);
        if first + size > from {
            first = (from - size).max(0);
        }
        let mut weights = [0; 4];
        for (sample, weight) in (self.first..).zip(self.weights) {
            let place = usize::try_from(sample.clamp(0, from - 1) - first);
            if let Some(sum) = place.ok().and_then(|place| weights.get_mut(place)) {
                *sum += weight;
            }
        }
        *self = Taps { first, weights };
    }

    /// Scales the weights to whole numbers that add up to `unit`: what rounding takes from one is given to the next.
    fn round(&mut self, unit: i64, size: usize) {
        let sum = ((self.weights.iter().sum::<i64>() + unit / 2) / unit).max(1);
        let mut error = 0;
        for weight in self.weights.iter_mut().take(size) {
            let exact = *weight + error;
            let half = sum >> 1;
            *weight = (if exact >= 0 { exact + half } else { exact - half }) / sum;
            error = exact - *weight * sum;
        }
    }
}

/// How luma and chroma are stored. Chroma has half the columns and rows, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YuvLayout {
    /// A plane of luma, and one with U and V in turns.
    Nv12,
    /// Planes of luma, U and V.
    I420,
    /// The same in little-endian words of 16 bits with values 0..=1023.
    Yuv420P10,
    /// As [`YuvLayout::Nv12`] in little-endian words of 16 bits, of which the upper ten are the value.
    P010,
}

impl YuvLayout {
    /// Whether U and V lie in one plane in turns.
    fn is_paired(self) -> bool {
        matches!(self, YuvLayout::Nv12 | YuvLayout::P010)
    }

    /// Whether values are words of 16 bits.
    fn is_wide(self) -> bool {
        matches!(self, YuvLayout::Yuv420P10 | YuvLayout::P010)
    }
}

/// A YUV picture.
#[derive(Debug, Clone, Copy)]
pub struct YuvPicture<'a> {
    /// How it is stored.
    pub layout: YuvLayout,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Rows from the top. The third plane of NV12 and P010 is not looked at.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next.
    pub strides: [usize; 3],
}

impl YuvPicture<'_> {
    /// The values of row `y` of luma (`which` 0), U (1) or V (2); `None` where the plane is too short.
    fn values(&self, which: usize, y: usize) -> Option<Vec<i32>> {
        let columns = if which == 0 { self.width } else { self.width.div_ceil(2) };
        let (plane, step, first) = if which > 0 && self.layout.is_paired() { (1, 2, which - 1) } else { (which, 1, 0) };
        let width = if self.layout.is_wide() { 2 } else { 1 };
        let start = y.checked_mul(*self.strides.get(plane)?)?;
        let row = self.planes.get(plane)?.get(start..start.checked_add(columns * step * width)?)?;
        let value = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | i32::from(byte));
        let unused_bits = if self.layout == YuvLayout::P010 { 6 } else { 0 };
        Some(row.chunks_exact(width).skip(first).step_by(step).map(|bytes| value(bytes) >> unused_bits).collect())
    }

    /// Step 1 for U (`which` 1) or V (2): `[rows of chroma][width]`.
    fn widened(&self, which: usize, taps: &[ChromaTap]) -> Option<Vec<Vec<i32>>> {
        let shift = if self.layout.is_wide() { 9 } else { 7 };
        let widen = |samples: Vec<i32>| {
            let at = |index: u32| samples.get(index as usize).copied().unwrap_or(0);
            let sum = |tap: &ChromaTap| {
                at(tap.first) * i32::from(tap.weight) + at(tap.first + 1) * i32::from(tap.next_weight)
            };
            taps.iter().map(|tap| (sum(tap) >> shift).min(i32::from(i16::MAX))).collect()
        };
        (0..self.height.div_ceil(2)).into_par_iter().map(|y| self.values(which, y).map(widen)).collect()
    }
}

/// `picture` as RGB, `[height, width, 3]`.
///
/// # Errors
/// `invalid_argument` when a plane is too short for the size and stride, or the size is not a picture's.
pub fn to_rgb(picture: &YuvPicture<'_>, coefficients: &ColorCoefficients) -> Result<Vec<u8>> {
    let (width, height) = (picture.width, picture.height);
    let refused = || Error::invalid_argument(format!("the planes do not hold a picture of {width} x {height}"));
    let length = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3)).ok_or_else(refused)?;
    if length == 0 {
        return Err(refused());
    }
    let columns = column_taps(width);
    let u = picture.widened(1, &columns).ok_or_else(refused)?;
    let v = picture.widened(2, &columns).ok_or_else(refused)?;
    let shift = if picture.layout.is_wide() { 5 } else { 7 };
    let row = |(y, tap): (usize, &ChromaTap)| {
        let luma = picture.values(0, y)?;
        let chroma = mixed(&u, tap).zip(mixed(&v, tap));
        let light = luma.iter().map(|value| (value << shift).min(i32::from(i16::MAX)) * 4);
        Some(light.zip(chroma).flat_map(|(y, (u, v))| coefficients.rgb(y, u, v)).collect::<Vec<u8>>())
    };
    let rows: Option<Vec<Vec<u8>>> = row_taps(height).par_iter().enumerate().map(|(y, tap)| row((y, tap))).collect();
    let rgb = rows.ok_or_else(refused)?.concat();
    if rgb.len() == length {
        Ok(rgb)
    } else {
        Err(refused())
    }
}

/// Step 2 for one row of luma.
fn mixed<'a>(rows: &'a [Vec<i32>], tap: &ChromaTap) -> impl Iterator<Item = i32> + 'a {
    let row = |index: u32| rows.get(index as usize).or(rows.last()).map_or(&[][..], Vec::as_slice);
    let (weight, next_weight) = (i32::from(tap.weight), i32::from(tap.next_weight));
    let pairs = row(tap.first).iter().zip(row(tap.first + 1));
    pairs.map(move |(a, b)| ((1 << 9) - (128 << 19) + a * weight + b * next_weight) >> 10)
}
