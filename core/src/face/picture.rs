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
        let across: Vec<f32> = (0..size * taps).map(|i| place(i / taps, i % taps)).collect();
        for (row, out) in rgb.chunks_exact_mut(size * 3).enumerate() {
            for (out, across) in out.chunks_exact_mut(3).zip(across.chunks_exact(taps)) {
                let mut sum = [0.0f32; 4];
                for tap in 0..taps {
                    let v = place(row, tap);
                    for u in across {
                        let value = near.at(region.x + u * cos - v * sin, region.y + u * sin + v * cos, outside);
                        (0..4).for_each(|c| sum[c] += value[c]);
                    }
                }
                (0..3).for_each(|c| out[c] = sum[c] * fraction);
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
        let mut pixels = Vec::with_capacity(columns.len() * rows.len());
        for y in rows.clone() {
            let line = &self.rgb[(y * self.width + columns.start) * 3..][..columns.len() * 3];
            pixels.extend(line.chunks_exact(3).map(|p| [f32::from(p[0]), f32::from(p[1]), f32::from(p[2]), 0.0]));
        }
        let (width, height) = (self.width as f32, self.height as f32);
        Near { width, height, left: columns.start, top: rows.start, columns: columns.len(), rows: rows.len(), pixels }
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

/// A part of a picture as floats.
struct Near {
    /// Of the whole picture.
    width: f32,
    height: f32,
    left: usize,
    top: usize,
    columns: usize,
    rows: usize,
    /// `[rows, columns]`, red, green, blue and nothing: four values are one vector.
    pixels: Vec<[f32; 4]>,
}

impl Near {
    /// The colour at `(x, y)` of the picture, where pixel centres lie at halves.
    #[inline]
    fn at(&self, x: f32, y: f32, outside: Outside) -> [f32; 4] {
        if outside == Outside::Black && !(x >= 0.0 && y >= 0.0 && x < self.width && y < self.height) {
            return [0.0; 4];
        }
        let (x, y) = ((x - 0.5).clamp(0.0, self.width - 1.0), (y - 0.5).clamp(0.0, self.height - 1.0));
        let (whole_x, whole_y) = (x as u32, y as u32);
        let (fx, fy) = (x - whole_x as f32, y - whole_y as f32);
        let x0 = (whole_x as usize).saturating_sub(self.left).min(self.columns - 1);
        let y0 = (whole_y as usize).saturating_sub(self.top).min(self.rows - 1);
        // At the picture's edge the neighbour is the pixel itself.
        let (right, down) = (usize::from(x0 + 1 < self.columns), usize::from(y0 + 1 < self.rows) * self.columns);
        let start = y0 * self.columns + x0;
        let (a, b) = (self.pixels[start], self.pixels[start + right]);
        let (c, d) = (self.pixels[start + down], self.pixels[start + down + right]);
        std::array::from_fn(|k| {
            let top = a[k] * (1.0 - fx) + b[k] * fx;
            let low = c[k] * (1.0 - fx) + d[k] * fx;
            top * (1.0 - fy) + low * fy
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
