//! Raw pictures painted for tests, and what the plain formulas make of them.

use emotion_llama_core::live::{PixelFormat, Plane, Planes, RawFrame};

/// What a picture shows.
#[derive(Clone, Copy)]
pub enum Pattern {
    /// One colour; luma and chroma in 16..=235, as libswscale's sums overflow for a blue beyond twice full scale (luma 236, blue
    /// chroma 255), which no camera gives.
    Flat(u64),
    /// RGB and luma at random; chroma that changes by at most 1 from sample to sample.
    Varied(u64),
}

/// A picture with memory of its own.
pub struct Painted {
    pub format: PixelFormat,
    pub width: usize,
    pub height: usize,
    /// Data and stride. The padding is filled with a level that would show.
    planes: Vec<(Vec<u8>, usize)>,
}

fn random(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 56) as u8
}

impl Painted {
    pub fn new(format: PixelFormat, width: usize, height: usize, padding: usize, pattern: Pattern) -> Self {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        // Samples in a row, rows, bytes of a sample, whether it is chroma.
        let planes = match format {
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => vec![(width, height, 3, false)],
            PixelFormat::Rgba32 | PixelFormat::Bgra32 => vec![(width, height, 4, false)],
            PixelFormat::Nv12 => vec![(width, height, 1, false), (half_width, half_height, 2, true)],
            PixelFormat::I420 => {
                let chroma = (half_width, half_height, 1, true);
                vec![(width, height, 1, false), chroma, chroma]
            }
            _ => vec![(width, height, 1, false)],
        };
        let (Pattern::Flat(seed) | Pattern::Varied(seed)) = pattern;
        let state = &mut seed.wrapping_add(99);
        let is_yuv = matches!(format, PixelFormat::Nv12 | PixelFormat::I420);
        let mut paint = |(columns, rows, bytes, is_chroma): (usize, usize, usize, bool)| {
            let stride = columns * bytes + padding;
            let mut data = vec![170u8; stride * rows];
            let base: Vec<u8> = (0..bytes).map(|_| random(state)).collect();
            let (right, down) = (random(state) % 2, random(state) % 2);
            for row in 0..rows {
                for column in 0..columns {
                    for (byte, base) in base.iter().enumerate() {
                        data[row * stride + column * bytes + byte] = match pattern {
                            Pattern::Flat(_) if is_yuv => *base % 220 + 16,
                            Pattern::Flat(_) => *base,
                            Pattern::Varied(_) if is_chroma => {
                                let moved = column * usize::from(right) + row * usize::from(down);
                                (60 + usize::from(*base) / 3 + moved).min(255) as u8
                            }
                            Pattern::Varied(_) => random(state),
                        };
                    }
                }
            }
            // The last row may end with its pixels.
            data.truncate(stride * (rows - 1) + columns * bytes);
            (data, stride)
        };
        let planes = planes.into_iter().map(&mut paint).collect();
        Self { format, width, height, planes }
    }

    pub fn raw(&self, time_s: f64) -> RawFrame<'_> {
        let plane = |i: usize| Plane { data: &self.planes[i].0, stride: self.planes[i].1 };
        let planes = match self.format {
            PixelFormat::Nv12 => Planes::Nv12 { luma: plane(0), chroma: plane(1) },
            PixelFormat::I420 => Planes::I420 { luma: plane(0), blue: plane(1), red: plane(2) },
            _ => Planes::Packed(plane(0)),
        };
        RawFrame { format: self.format, width: self.width, height: self.height, planes, time_s }
    }

    /// `[height, width, 3]` by the formulas of ITU-R BT.601 and BT.709, chroma taken from the nearest sample.
    pub fn reference(&self) -> Vec<u8> {
        let mut rgb = Vec::new();
        for y in 0..self.height {
            for x in 0..self.width {
                let at = |plane: usize, x: usize, y: usize, byte: usize, bytes: usize| {
                    let (data, stride) = &self.planes[plane];
                    data[y * stride + x * bytes + byte]
                };
                rgb.extend(match self.format {
                    PixelFormat::Rgb24 => [0, 1, 2].map(|byte| at(0, x, y, byte, 3)),
                    PixelFormat::Bgr24 => [2, 1, 0].map(|byte| at(0, x, y, byte, 3)),
                    PixelFormat::Rgba32 => [0, 1, 2].map(|byte| at(0, x, y, byte, 4)),
                    PixelFormat::Bgra32 => [2, 1, 0].map(|byte| at(0, x, y, byte, 4)),
                    PixelFormat::Nv12 => {
                        let chroma = [0, 1].map(|byte| at(1, x / 2, y / 2, byte, 2));
                        self.rgb_of(at(0, x, y, 0, 1), chroma[0], chroma[1])
                    }
                    PixelFormat::I420 => {
                        let chroma = [1, 2].map(|plane| at(plane, x / 2, y / 2, 0, 1));
                        self.rgb_of(at(0, x, y, 0, 1), chroma[0], chroma[1])
                    }
                    _ => [at(0, x, y, 0, 1); 3],
                });
            }
        }
        rgb
    }

    fn rgb_of(&self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let high_definition = self.width.min(self.height) >= 720;
        let (kr, kb) = if high_definition { (0.2126, 0.0722) } else { (0.299, 0.114) };
        let y = (f64::from(luma) - 16.0) / 219.0;
        let (pb, pr) = ((f64::from(blue) - 128.0) / 224.0, (f64::from(red) - 128.0) / 224.0);
        let (r, b) = (y + 2.0 * (1.0 - kr) * pr, y + 2.0 * (1.0 - kb) * pb);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8)
    }
}
