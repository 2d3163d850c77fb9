//! Cutting net inputs out of pictures.

use crate::media::Frame;

/// An RGB picture, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    rgb: &'a [u8],
}

/// A square region of a picture: centre and side in pixels, turned clockwise by `angle` radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) side: f32,
    pub(super) angle: f32,
}

/// What lies outside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// Black, as detectors were trained with.
    Black,
    /// The nearest pixel.
    Edge,
}

/// A square RGB picture in `f32`, 0..255, `[side, side, 3]`.
#[derive(Debug, Clone)]
pub(super) struct Patch {
    pub(super) side: usize,
    pub(super) rgb: Vec<f32>,
}

impl<'a> Picture<'a> {
    /// The picture of a frame; `None` when the frame's buffer does not hold what its size says.
    pub(super) fn of(frame: &'a Frame) -> Option<Self> {
        let needed = frame.width.checked_mul(frame.height)?.checked_mul(3)?;
        let whole = needed > 0 && frame.rgb.len() >= needed;
        whole.then_some(Self { width: frame.width, height: frame.height, rgb: &frame.rgb })
    }

    /// The smallest centred square that holds the whole picture, enlarged by `factor`.
    pub(super) fn frame_region(&self, factor: f32) -> Region {
        let side = self.width.max(self.height) as f32 * factor;
        Region { x: self.width as f32 / 2.0, y: self.height as f32 / 2.0, side, angle: 0.0 }
    }

    /// Samples `region` as `size` × `size` pixels: bilinear, averaged over the source pixels each output pixel covers.
    pub(super) fn cut(&self, region: &Region, size: usize, outside: Outside) -> Patch {
        let step = region.side / size as f32;
        let taps = (step.ceil() as usize).clamp(1, 4);
        if region.angle == 0.0 {
            return self.cut_upright(region, size, taps, outside);
        }
        let (sin, cos) = region.angle.sin_cos();
        let near = self.near(region);
        let mut rgb = vec![0.0f32; size * size * 3];
        let fraction = 1.0 / (taps * taps) as f32;
        let place = |i: usize, tap: usize| (i as f32 + (tap as f32 + 0.5) / taps as f32) * step - region.side / 2.0;
        let across: Vec<[f32; 2]> = (0..size * taps)
            .map(|i| place(i / taps, i % taps))
            .map(|u| [region.x + u * cos, region.y + u * sin])
            .collect();
        let mut samples = vec![Sample::default(); across.len()];
        let mut sums = vec![[0.0f32; 4]; size];
        for (row, out) in rgb.chunks_exact_mut(size * 3).enumerate() {
            sums.fill([0.0; 4]);
            for tap in 0..taps {
                let v = place(row, tap);
                for (sample, [x, y]) in samples.iter_mut().zip(&across) {
                    *sample = near.sample(x - v * sin, y + v * cos, outside);
                }
                for (sum, samples) in sums.iter_mut().zip(samples.chunks_exact(taps)) {
                    for sample in samples {
                        let value = near.mixed(sample);
                        sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += value);
                    }
                }
            }
            for (out, sum) in out.chunks_exact_mut(3).zip(&sums) {
                out.iter_mut().zip(sum).for_each(|(out, sum)| *out = sum * fraction);
            }
        }
        Patch { side: size, rgb }
    }

    /// The pixels that `region` may take samples of.
    fn near(&self, region: &Region) -> Near {
        let (sin, cos) = region.angle.sin_cos();
        // From the centre to the farthest corner along an axis, and what lies beside a sample.
        let reach = region.side / 2.0 * (sin.abs() + cos.abs()) + 2.0;
        let range = |centre: f32, limit: usize| {
            let last = limit.saturating_sub(1);
            ((centre - reach) as usize).min(last)..((centre + reach) as usize).min(last) + 1
        };
        let (columns, rows) = (range(region.x, self.width), range(region.y, self.height));
        let stride = columns.len() + 1;
        let mut pixels = Vec::with_capacity(stride * (rows.len() + 1));
        for y in rows.clone() {
            let line = &self.rgb[(y * self.width + columns.start) * 3..][..columns.len() * 3];
            pixels.extend(line.chunks_exact(3).map(|p| [f32::from(p[0]), f32::from(p[1]), f32::from(p[2]), 0.0]));
            pixels.extend_from_within(pixels.len() - 1..);
        }
        pixels.extend_from_within(pixels.len() - stride..);
        Near {
            size: [self.width as f32, self.height as f32],
            start: [columns.start as f32, rows.start as f32],
            last: [columns.len() as f32 - 1.0, rows.len() as f32 - 1.0],
            stride,
            pixels,
        }
    }

    /// The same for a region that is not turned: rows are mixed first, then the pixels of what came out.
    fn cut_upright(&self, region: &Region, size: usize, taps: usize, outside: Outside) -> Patch {
        let columns = mixes(region.x - region.side / 2.0, region.side / size as f32, size, taps, self.width, outside);
        let rows = mixes(region.y - region.side / 2.0, region.side / size as f32, size, taps, self.height, outside);
        let left = columns.iter().flatten().map(|&(x, _)| x).min().unwrap_or(0);
        let right = columns.iter().flatten().map(|&(x, _)| x + 1).max().unwrap_or(0);
        let mut line = vec![0.0f32; 3 * right.saturating_sub(left)];
        let mut rgb = vec![0.0f32; size * size * 3];
        for (out, mix) in rgb.chunks_exact_mut(size * 3).zip(&rows) {
            line.fill(0.0);
            for &(y, weight) in mix {
                let from = &self.rgb[(y * self.width + left) * 3..][..line.len()];
                line.iter_mut().zip(from).for_each(|(value, &pixel)| *value += weight * f32::from(pixel));
            }
            for (out, mix) in out.chunks_exact_mut(3).zip(&columns) {
                let mut sum = [0.0f32; 3];
                for &(x, weight) in mix {
                    let pixel = &line[(x - left) * 3..][..3];
                    (0..3).for_each(|c| sum[c] += weight * pixel[c]);
                }
                out.copy_from_slice(&sum);
            }
        }
        Patch { side: size, rgb }
    }
}

/// A float that is added to this has no fraction left, and is the low bits of the sum. Much faster than a conversion, which has to be right
/// for numbers of any size.
const WHOLE: f32 = (3 << 22) as f32;
/// These bits.
const WHOLE_BITS: u32 = (1 << 22) - 1;

/// A part of a picture as floats.
struct Near {
    /// Width and height of the whole picture.
    size: [f32; 2],
    /// The first column and row.
    start: [f32; 2],
    /// The last column and row, from the first.
    last: [f32; 2],
    stride: usize,
    /// Red, green, blue and nothing: four values are one vector. The last column and the last row are there twice, so that each has a
    /// neighbour.
    pixels: Vec<[f32; 4]>,
}

/// Where a bilinear sample is taken: the first of its four pixels, how far it is from that, and how much it counts.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    first: u32,
    beyond: [f32; 2],
    share: f32,
}

impl Near {
    /// The place `(x, y)` of the picture, where pixel centres lie at halves.
    #[inline(always)]
    fn sample(&self, x: f32, y: f32, outside: Outside) -> Sample {
        let inside = x >= 0.0 && y >= 0.0 && x < self.size[0] && y < self.size[1];
        let share = if outside == Outside::Black && !inside { 0.0 } else { 1.0 };
        let place = |at: f32, axis: usize| {
            let at = (at - 0.5).clamp(0.0, self.size[axis] - 1.0);
            let whole = (at - 0.5 + WHOLE) - WHOLE;
            // Samples lie inside this part; where rounding says otherwise, at its border.
            let from_start = (whole - self.start[axis]).clamp(0.0, self.last[axis]);
            ((from_start + WHOLE).to_bits() & WHOLE_BITS, at - whole)
        };
        let ((column, across), (row, down)) = (place(x, 0), place(y, 1));
        Sample { first: row * self.stride as u32 + column, beyond: [across, down], share }
    }

    /// The colour there.
    #[inline(always)]
    fn mixed(&self, sample: &Sample) -> [f32; 4] {
        let first = sample.first as usize;
        let (top, low) = (&self.pixels[first..first + 2], &self.pixels[first + self.stride..][..2]);
        let [across, down] = sample.beyond;
        let (left, up) = (1.0 - across, 1.0 - down);
        std::array::from_fn(|k| {
            let top = top[0][k] * left + top[1][k] * across;
            let low = low[0][k] * left + low[1][k] * across;
            (top * up + low * down) * sample.share
        })
    }
}

impl Region {
    /// Where the point `(u, v)` of the region, both 0..1, lies in the picture.
    pub(super) fn to_picture(self, u: f32, v: f32) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (u, v) = ((u - 0.5) * self.side, (v - 0.5) * self.side);
        [self.x + u * cos - v * sin, self.y + u * sin + v * cos]
    }

    /// The region moved by `(u, v)` of its own side and scaled by `scale`.
    pub(super) fn shifted(self, u: f32, v: f32, scale: f32) -> Self {
        let [x, y] = self.to_picture(0.5 + u, 0.5 + v);
        Self { x, y, side: self.side * scale, angle: self.angle }
    }
}

impl Patch {
    /// As `size` × `size` pixels: area average or bilinear.
    pub(super) fn resized(&self, size: usize) -> Patch {
        if size == self.side {
            return self.clone();
        }
        let step = self.side as f32 / size as f32;
        // Each output pixel is a weighted mean along an axis; the weights are the same for rows and columns.
        let taps: Vec<Vec<(usize, f32)>> = (0..size).map(|i| weights(i as f32 * step, step, self.side)).collect();
        let mut wide = vec![0.0f32; self.side * size * 3];
        for (line, out) in self.rgb.chunks_exact(self.side * 3).zip(wide.chunks_exact_mut(size * 3)) {
            for (col, out) in out.chunks_exact_mut(3).enumerate() {
                for &(x, w) in &taps[col] {
                    (0..3).for_each(|c| out[c] += w * line[x * 3 + c]);
                }
            }
        }
        let mut rgb = vec![0.0f32; size * size * 3];
        for (row, out) in rgb.chunks_exact_mut(size * 3).enumerate() {
            for &(y, w) in &taps[row] {
                let line = &wide[y * size * 3..(y + 1) * size * 3];
                out.iter_mut().zip(line).for_each(|(out, value)| *out += w * value);
            }
        }
        Patch { side: size, rgb }
    }

    /// ITU-R BT.601 luma, 0..255, `[side, side]`.
    pub(super) fn gray(&self) -> Vec<f32> {
        self.rgb.chunks_exact(3).map(|p| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]).collect()
    }

    /// Mean absolute Laplacian of the luma: how sharp the picture is.
    pub(super) fn sharpness(&self) -> f32 {
        let (gray, n) = (self.gray(), self.side);
        if n < 3 {
            return 0.0;
        }
        let mut sum = 0.0;
        for y in 1..n - 1 {
            for x in 1..n - 1 {
                let i = y * n + x;
                sum += (4.0 * gray[i] - gray[i - 1] - gray[i + 1] - gray[i - n] - gray[i + n]).abs();
            }
        }
        sum / ((n - 2) * (n - 2)) as f32
    }

    /// Standard deviation of the luma.
    pub(super) fn contrast(&self) -> f32 {
        let gray = self.gray();
        let mean = gray.iter().sum::<f32>() / gray.len().max(1) as f32;
        (gray.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / gray.len().max(1) as f32).sqrt()
    }
}

/// `[side, side, channels]` turned left to right.
pub(super) fn mirrored(values: &[f32], side: usize, channels: usize) -> Vec<f32> {
    let lines = values.chunks_exact((side * channels).max(1));
    lines.flat_map(|line| line.chunks_exact(channels.max(1)).rev().flatten()).copied().collect()
}

/// For each of `size` output pixels along an axis, from `start` on and `step` wide, the pixels it is mixed from and their shares: the
/// mean of `taps` linear samples.
fn mixes(start: f32, step: f32, size: usize, taps: usize, limit: usize, outside: Outside) -> Vec<Vec<(usize, f32)>> {
    let end = limit as f32;
    let mix = |i: usize| {
        let mut mix: Vec<(usize, f32)> = Vec::with_capacity(2 * taps);
        for tap in 0..taps {
            let place = start + (i as f32 + (tap as f32 + 0.5) / taps as f32) * step;
            if outside == Outside::Black && !(place >= 0.0 && place < end) {
                continue;
            }
            let place = (place - 0.5).clamp(0.0, end - 1.0);
            let (low, fraction) = (place as usize, place.fract());
            for (at, share) in [(low, 1.0 - fraction), ((low + 1).min(limit.saturating_sub(1)), fraction)] {
                match mix.last_mut().filter(|last| last.0 == at) {
                    Some(last) => last.1 += share / taps as f32,
                    None => mix.push((at, share / taps as f32)),
                }
            }
        }
        mix
    };
    (0..size).map(mix).collect()
}

/// The pixels under `from..from + span` with their shares; at least the two that a bilinear sample takes.
fn weights(from: f32, span: f32, limit: usize) -> Vec<(usize, f32)> {
    let last = limit.saturating_sub(1);
    if span <= 1.0 {
        let centre = (from + span / 2.0 - 0.5).clamp(0.0, last as f32);
        let (low, fraction) = (centre as usize, centre.fract());
        return vec![(low, 1.0 - fraction), ((low + 1).min(last), fraction)];
    }
    let (first, end) = (from.floor().max(0.0) as usize, ((from + span).ceil() as usize).min(limit));
    let share = |i: usize| ((i as f32 + 1.0).min(from + span) - (i as f32).max(from)).max(0.0) / span;
    (first.min(last)..end.max(first + 1).min(limit)).map(|i| (i, share(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The colour at a place, straight from the picture.
    fn plain(picture: &Picture<'_>, x: f32, y: f32, outside: Outside) -> [f32; 3] {
        let (width, height) = (picture.width as f32, picture.height as f32);
        if outside == Outside::Black && !(x >= 0.0 && y >= 0.0 && x < width && y < height) {
            return [0.0; 3];
        }
        let (x, y) = ((x - 0.5).clamp(0.0, width - 1.0), (y - 0.5).clamp(0.0, height - 1.0));
        let (right, down) = ((x.floor() + 1.0).min(width - 1.0), (y.floor() + 1.0).min(height - 1.0));
        let pixel = |x: f32, y: f32, c| f32::from(picture.rgb[(y as usize * picture.width + x as usize) * 3 + c]);
        std::array::from_fn(|c| {
            let top = pixel(x.floor(), y.floor(), c) * (1.0 - x.fract()) + pixel(right, y.floor(), c) * x.fract();
            let low = pixel(x.floor(), down, c) * (1.0 - x.fract()) + pixel(right, down, c) * x.fract();
            top * (1.0 - y.fract()) + low * y.fract()
        })
    }

    proptest! {
        #[test]
        fn a_turned_cut_is_the_mean_of_its_samples(
            (width, height) in (1usize..30, 1usize..30),
            place in (-0.5f32..1.5, -0.5f32..1.5),
            side in 0.5f32..80.0,
            angle in prop_oneof![-3.0f32..3.0, Just(1.0e-3), Just(std::f32::consts::FRAC_PI_2)],
            size in 1usize..20,
            black in any::<bool>(),
        ) {
            let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i * 7919 % 256) as u8).collect();
            let picture = Picture { width, height, rgb: &rgb };
            let region = Region { x: place.0 * width as f32, y: place.1 * height as f32, side, angle };
            let outside = if black { Outside::Black } else { Outside::Edge };
            let got = picture.cut(&region, size, outside);
            let taps = ((side / size as f32).ceil() as usize).clamp(1, 4);
            let (sin, cos) = angle.sin_cos();
            let at = |i: usize, tap: usize| {
                (i as f32 + (tap as f32 + 0.5) / taps as f32) * (side / size as f32) - side / 2.0
            };
            for (i, got) in got.rgb.chunks_exact(3).enumerate() {
                let mut sum = [0.0; 3];
                for (tap_v, tap_u) in (0..taps * taps).map(|i| (i / taps, i % taps)) {
                    let (u, v) = (at(i % size, tap_u), at(i / size, tap_v));
                    let sample = plain(&picture, region.x + u * cos - v * sin, region.y + u * sin + v * cos, outside);
                    (0..3).for_each(|c| sum[c] += sample[c] / (taps * taps) as f32);
                }
                for (got, sum) in got.iter().zip(sum) {
                    prop_assert!((got - sum).abs() < 1e-2, "pixel {i}: {got} is not {sum}");
                }
            }
        }
    }
}
