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
        let (sin, cos) = region.angle.sin_cos();
        let mut rgb = vec![0.0f32; size * size * 3];
        let fraction = 1.0 / (taps * taps) as f32;
        for (i, out) in rgb.chunks_exact_mut(3).enumerate() {
            let (col, row) = ((i % size) as f32, (i / size) as f32);
            let mut sum = [0.0f32; 3];
            for tap in 0..taps * taps {
                let (dx, dy) = ((tap % taps) as f32, (tap / taps) as f32);
                let u = (col + (dx + 0.5) / taps as f32) * step - region.side / 2.0;
                let v = (row + (dy + 0.5) / taps as f32) * step - region.side / 2.0;
                let value = self.bilinear(region.x + u * cos - v * sin, region.y + u * sin + v * cos, outside);
                (0..3).for_each(|c| sum[c] += value[c]);
            }
            (0..3).for_each(|c| out[c] = sum[c] * fraction);
        }
        Patch { side: size, rgb }
    }

    /// The colour at `(x, y)`, where pixel centres lie at halves.
    fn bilinear(&self, x: f32, y: f32, outside: Outside) -> [f32; 3] {
        let (right, bottom) = (self.width as f32, self.height as f32);
        if outside == Outside::Black && !(x >= 0.0 && y >= 0.0 && x < right && y < bottom) {
            return [0.0; 3];
        }
        let (x, y) = ((x - 0.5).clamp(0.0, right - 1.0), (y - 0.5).clamp(0.0, bottom - 1.0));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let at = |x: usize, y: usize| (y * self.width + x) * 3;
        let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
        let value = |i: usize| f32::from(self.rgb[i]);
        std::array::from_fn(|k| {
            let top = value(a + k) * (1.0 - fx) + value(b + k) * fx;
            let low = value(c + k) * (1.0 - fx) + value(d + k) * fx;
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
    /// The central part of `share` of the side, as `size` × `size` pixels, mirrored if asked: area average or bilinear.
    pub(super) fn resized(&self, share: f32, size: usize, mirrored: bool) -> Patch {
        let span = self.side as f32 * share;
        let (start, step) = ((self.side as f32 - span) / 2.0, span / size as f32);
        // Each output pixel is a weighted mean along an axis; the weights are the same for rows and columns.
        let taps: Vec<Vec<(usize, f32)>> =
            (0..size).map(|i| weights(start + i as f32 * step, step, self.side)).collect();
        let mut wide = vec![0.0f32; self.side * size * 3];
        for (line, out) in self.rgb.chunks_exact(self.side * 3).zip(wide.chunks_exact_mut(size * 3)) {
            for (col, out) in out.chunks_exact_mut(3).enumerate() {
                let from = if mirrored { size - 1 - col } else { col };
                for &(x, w) in &taps[from] {
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
