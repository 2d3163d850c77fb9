//! Pictures of every format as the kernels get them, and as the crate's functions make RGB of them.

use emotion_llama_core::preprocess::color::{
    column_taps, row_taps, to_rgb, ChromaTap, ColorCoefficients, ColorMatrix, YuvLayout, YuvPicture,
};
use proptest::prelude::*;

use super::program::{Launch, Structure};

pub const MATRICES: [ColorMatrix; 5] =
    [ColorMatrix::Bt601, ColorMatrix::Bt709, ColorMatrix::Fcc, ColorMatrix::Smpte240m, ColorMatrix::Bt2020];

/// In the order of the kernels' `FORMAT_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Nv12,
    I420,
    Yuv420P10,
    P010,
    Rgb24,
    Bgr24,
    Rgba,
    Bgra,
}

pub const FORMATS: [Format; 8] = [
    Format::Nv12,
    Format::I420,
    Format::Yuv420P10,
    Format::P010,
    Format::Rgb24,
    Format::Bgr24,
    Format::Rgba,
    Format::Bgra,
];

impl Format {
    /// Bytes of a row and number of rows, for each plane.
    fn planes(self, width: usize, height: usize) -> Vec<(usize, usize)> {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        match self {
            Format::Nv12 => vec![(width, height), (2 * half_width, half_height)],
            Format::I420 => vec![(width, height), (half_width, half_height), (half_width, half_height)],
            Format::Yuv420P10 => {
                vec![(2 * width, height), (2 * half_width, half_height), (2 * half_width, half_height)]
            }
            Format::P010 => vec![(2 * width, height), (4 * half_width, half_height)],
            Format::Rgb24 | Format::Bgr24 => vec![(3 * width, height)],
            Format::Rgba | Format::Bgra => vec![(4 * width, height)],
        }
    }

    fn layout(self) -> Option<YuvLayout> {
        match self {
            Format::Nv12 => Some(YuvLayout::Nv12),
            Format::I420 => Some(YuvLayout::I420),
            Format::Yuv420P10 => Some(YuvLayout::Yuv420P10),
            Format::P010 => Some(YuvLayout::P010),
            _ => None,
        }
    }
}

/// A part of an upright picture.
#[derive(Debug, Clone, Copy)]
pub struct Crop {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

#[derive(Debug, Clone)]
struct Plane {
    /// Rows from the top, without what would follow the last row.
    bytes: Vec<u8>,
    stride: usize,
    misalignment: usize,
}

/// A stored picture and what is to be taken from it.
#[derive(Debug, Clone)]
pub struct Source {
    pub format: Format,
    pub width: usize,
    pub height: usize,
    planes: Vec<Plane>,
    /// The last row is the first in memory.
    is_bottom_up: bool,
    pub matrix: usize,
    pub is_full_range: bool,
    /// Bits of the kernels' `ORIENTATION_`.
    pub orientation: usize,
    pub crop: Crop,
}

/// How planes lie in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Storage {
    pub padding: usize,
    pub misalignment: usize,
    pub is_bottom_up: bool,
}

/// Noise that is the same each time.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// In -1..1.
    pub fn sample(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

impl Source {
    /// Noise, whole and upright.
    pub fn noise(format: Format, width: usize, height: usize, storage: Storage, seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let mut plane = |(index, (row, rows)): (usize, (usize, usize))| {
            let stride = row + storage.padding;
            let mut bytes: Vec<u8> = (0..stride * (rows - 1) + row).map(|_| noise.next() as u8).collect();
            if format == Format::Yuv420P10 {
                let rows = bytes.chunks_mut(stride);
                rows.for_each(|bytes| bytes.iter_mut().take(row).skip(1).step_by(2).for_each(|high| *high &= 3));
            }
            Plane { bytes, stride, misalignment: storage.misalignment + index }
        };
        let planes = format.planes(width, height).into_iter().enumerate().map(&mut plane).collect();
        let crop = Crop { left: 0, top: 0, width, height };
        let is_bottom_up = storage.is_bottom_up;
        Self { format, width, height, planes, is_bottom_up, matrix: 0, is_full_range: false, orientation: 0, crop }
    }

    /// An upright picture.
    pub fn rgb24(rgb: &[u8], width: usize, height: usize) -> Self {
        let mut source = Self::noise(Format::Rgb24, width, height, Storage::default(), 0);
        source.planes[0].bytes.copy_from_slice(rgb);
        source
    }

    /// Any picture of at most `side` x `side` pixels.
    pub fn any(side: usize) -> impl Strategy<Value = Self> {
        let storage = (0usize..19, 0usize..8, any::<bool>())
            .prop_map(|(padding, misalignment, is_bottom_up)| Storage { padding, misalignment, is_bottom_up });
        let what = (0..FORMATS.len(), 0..MATRICES.len(), any::<bool>(), 0usize..8);
        let sizes = prop_oneof![1 => (1usize..6, 1usize..6), 3 => (1..=side, 1..=side)];
        (sizes, storage, what, any::<u64>(), any::<[u16; 4]>()).prop_map(|(size, storage, what, seed, part)| {
            let mut source = Self::noise(FORMATS[what.0], size.0, size.1, storage, seed);
            (source.matrix, source.is_full_range, source.orientation) = (what.1, what.2, what.3);
            let (width, height) = source.upright_size();
            let within = |of: usize, share: u16| of * usize::from(share) / (usize::from(u16::MAX) + 1);
            let (left, top) = (within(width, part[0]), within(height, part[1]));
            let (width, height) = (1 + within(width - left, part[2]), 1 + within(height - top, part[3]));
            if seed % 4 > 0 {
                source.crop = Crop { left, top, width, height };
            } else {
                (source.crop.width, source.crop.height) = source.upright_size();
            }
            source
        })
    }

    /// Width and height of the upright picture.
    pub fn upright_size(&self) -> (usize, usize) {
        if self.orientation & 1 != 0 {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        }
    }

    fn stored_rgb(&self) -> Vec<u8> {
        let plane = |index: usize| self.planes.get(index).map_or(&[][..], |plane| &plane.bytes);
        if let Some(layout) = self.format.layout() {
            let stride = |index: usize| self.planes.get(index).map_or(0, |plane| plane.stride);
            let picture = YuvPicture {
                layout,
                width: self.width,
                height: self.height,
                planes: [plane(0), plane(1), plane(2)],
                strides: [stride(0), stride(1), stride(2)],
            };
            return to_rgb(&picture, &self.coefficients()).unwrap();
        }
        let (channels, is_red_first) = match self.format {
            Format::Rgb24 => (3, true),
            Format::Bgr24 => (3, false),
            Format::Rgba => (4, true),
            _ => (4, false),
        };
        let rows = plane(0).chunks(self.planes[0].stride).take(self.height);
        let pixels = rows.flat_map(|row| row.chunks_exact(channels).take(self.width));
        pixels.flat_map(|p| if is_red_first { [p[0], p[1], p[2]] } else { [p[2], p[1], p[0]] }).collect()
    }

    /// Where the upright picture's pixel (x, y) is stored.
    fn stored_place(&self, x: usize, y: usize) -> (usize, usize) {
        let (width, height) = self.upright_size();
        let x = if self.orientation & 2 != 0 { width - 1 - x } else { x };
        let y = if self.orientation & 4 != 0 { height - 1 - y } else { y };
        if self.orientation & 1 != 0 {
            (y, x)
        } else {
            (x, y)
        }
    }

    /// The whole upright picture, `[height, width, 3]`.
    pub fn upright_rgb(&self) -> Vec<u8> {
        let stored = self.stored_rgb();
        let (width, height) = self.upright_size();
        let places = (0..height).flat_map(|y| (0..width).map(move |x| self.stored_place(x, y)));
        places.flat_map(|(x, y)| &stored[(y * self.width + x) * 3..][..3]).copied().collect()
    }

    /// The crop, `[height, width, 3]`.
    pub fn cropped_rgb(&self) -> Vec<u8> {
        let rgb = self.upright_rgb();
        let rows = rgb.chunks_exact(self.upright_size().0 * 3).skip(self.crop.top).take(self.crop.height);
        rows.flat_map(|row| &row[self.crop.left * 3..][..self.crop.width * 3]).copied().collect()
    }

    /// Luma of the crop in quarters of a level, as `difference.cu` takes it.
    pub fn cropped_luma(&self) -> Vec<i64> {
        if self.format.layout().is_none() {
            let luma = |p: &[u8]| (77 * i64::from(p[0]) + 150 * i64::from(p[1]) + 29 * i64::from(p[2])) >> 6;
            return self.cropped_rgb().chunks_exact(3).map(luma).collect();
        }
        let (step, unused_bits) = match self.format {
            Format::Yuv420P10 => (2, 0),
            Format::P010 => (2, 6),
            _ => (1, 0),
        };
        let plane = &self.planes[0];
        let places = (0..self.crop.height).flat_map(|y| (0..self.crop.width).map(move |x| (x, y)));
        let luma = |(x, y): (usize, usize)| {
            let (x, y) = self.stored_place(self.crop.left + x, self.crop.top + y);
            match &plane.bytes[y * plane.stride + x * step..][..step] {
                [low, high] => i64::from(u16::from_le_bytes([*low, *high]) >> unused_bits),
                bytes => i64::from(bytes[0]) * 4,
            }
        };
        places.map(luma).collect()
    }

    pub fn coefficients(&self) -> ColorCoefficients {
        ColorCoefficients::new(MATRICES[self.matrix], self.is_full_range)
    }
}

/// The buffers of a batch of frames.
pub struct Frames {
    pub descriptors: usize,
    pub chroma: usize,
    pub colors: usize,
}

/// Puts `sources` into `launch`. `windows` tells where the windows of each frame's columns and rows begin.
pub fn put_frames(launch: &mut Launch, sources: &[Source], windows: impl Fn(usize) -> (usize, usize)) -> Frames {
    let mut frames = Vec::new();
    let mut taps: Vec<ChromaTap> = Vec::new();
    let mut colors = Structure::new();
    for (index, source) in sources.iter().enumerate() {
        let (mut addresses, mut strides) = (Structure::new(), Vec::new());
        for plane in 0..3 {
            let Some(plane) = source.planes.get(plane) else {
                addresses = addresses.null();
                strides.push(0);
                continue;
            };
            let rows = plane.bytes.chunks(plane.stride);
            let row = plane.bytes.len() - plane.stride * (rows.len() - 1);
            if source.is_bottom_up {
                // The last row of the picture is the first in memory; what follows the first row there is left out.
                let padding = vec![0xee; plane.stride - row];
                let turned: Vec<&[u8]> = rows.clone().rev().map(|bytes| &bytes[..row]).collect();
                let last = plane.stride * (rows.len() - 1);
                let buffer = launch.misaligned(turned.join(&padding[..]), plane.misalignment);
                addresses = addresses.address_at(buffer, last);
                strides.push(-(plane.stride as i64));
            } else {
                let buffer = launch.misaligned(plane.bytes.clone(), plane.misalignment);
                addresses = addresses.address(buffer);
                strides.push(plane.stride as i64);
            }
        }
        let (columns, rows) = (taps.len(), taps.len() + source.width);
        if source.format.layout().is_some() {
            taps.extend(column_taps(source.width));
            taps.extend(row_taps(source.height));
        }
        let c = source.coefficients();
        colors = colors.ints(&[c.y_offset, c.y, c.v_to_r, c.v_to_g, c.u_to_g, c.u_to_b]);
        let crop = source.crop;
        let (column_windows, row_windows) = windows(index);
        let numbers = [source.width, source.height, crop.left, crop.top, crop.width, crop.height];
        let rest = [source.orientation, columns, rows, column_windows, row_windows, index, index];
        let ints: Vec<i32> =
            numbers.into_iter().chain([source.format as usize]).chain(rest).map(|number| number as i32).collect();
        frames.push(addresses.longs(&strides).ints(&ints));
    }
    let descriptors = launch.structures(frames);
    let chroma = taps.iter().flat_map(|tap| {
        let weights = u32::from(tap.weight as u16) | u32::from(tap.next_weight as u16) << 16;
        [tap.first.to_le_bytes(), weights.to_le_bytes()].concat()
    });
    let chroma = launch.input(chroma.collect());
    let colors = launch.structures([colors]);
    Frames { descriptors, chroma, colors }
}
