//! Raw pictures: pixel formats, planes and the check of their sizes.

use crate::error::{Error, ErrorKind, Result};

/// Most pixels in one picture.
const MAX_PIXELS: u64 = 8192 * 8192;
/// Longest side of a picture in pixels.
const MAX_SIDE: usize = 16_384;

/// How the pixels of a [`RawFrame`] lie in memory.
///
/// Colours without a declared matrix are those of FFmpeg's defaults and of files: NV12 and I420 are limited range (16..=235), by BT.709
/// when the shorter side has 720 pixels or more, otherwise by BT.601. Gray is full range (0..=255). RGB is sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// 3 bytes a pixel: red, green, blue.
    Rgb24,
    /// 3 bytes a pixel: blue, green, red.
    Bgr24,
    /// 4 bytes a pixel: red, green, blue, alpha. Alpha is dropped, not multiplied.
    Rgba32,
    /// 4 bytes a pixel: blue, green, red, alpha. Alpha is dropped, not multiplied.
    Bgra32,
    /// A plane of luma, and a plane with a blue and a red chroma byte for every 2 x 2 pixels.
    Nv12,
    /// A plane of luma, then one of blue and one of red chroma with a byte for every 2 x 2 pixels.
    I420,
    /// 1 byte a pixel: luma.
    Gray8,
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [PixelFormat; 7] =
        [Self::Rgb24, Self::Bgr24, Self::Rgba32, Self::Bgra32, Self::Nv12, Self::I420, Self::Gray8];

    /// The stable name, for example `bgra32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb24 => "rgb24",
            Self::Bgr24 => "bgr24",
            Self::Rgba32 => "rgba32",
            Self::Bgra32 => "bgra32",
            Self::Nv12 => "nv12",
            Self::I420 => "i420",
            Self::Gray8 => "gray8",
        }
    }

    /// The format called `name`.
    ///
    /// # Errors
    /// `invalid_argument` listing the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid_argument(format!("there is no pixel format {name:?}; give one of {known}"))
        })
    }

    /// Name, bytes in a row and number of rows of each plane of a picture. A chroma plane of an odd side is rounded up.
    fn planes(self, width: usize, height: usize) -> Vec<(&'static str, usize, usize)> {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        match self {
            Self::Rgb24 | Self::Bgr24 => vec![("pixel", 3 * width, height)],
            Self::Rgba32 | Self::Bgra32 => vec![("pixel", 4 * width, height)],
            Self::Gray8 => vec![("pixel", width, height)],
            Self::Nv12 => vec![("luma", width, height), ("chroma", 2 * half_width, half_height)],
            Self::I420 => {
                vec![("luma", width, height), ("blue", half_width, half_height), ("red", half_width, half_height)]
            }
        }
    }
}

/// A part of a picture in memory, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The rows, from the uppermost down. The last one may end where its pixels do.
    pub data: &'a [u8],
    /// Bytes from the start of one row to the start of the next, at least those of a row's pixels.
    pub stride: usize,
}

/// The parts of a picture, by kind of format.
#[derive(Debug, Clone, Copy)]
pub enum Planes<'a> {
    /// All of a pixel together: RGB, BGR, RGBA, BGRA, gray.
    Packed(Plane<'a>),
    /// Luma, and both chromas by turns.
    Nv12 {
        /// `[height, width]`.
        luma: Plane<'a>,
        /// `[(height + 1) / 2, (width + 1) / 2, 2]`, blue first.
        chroma: Plane<'a>,
    },
    /// Luma, and the chromas each by itself.
    I420 {
        /// `[height, width]`.
        luma: Plane<'a>,
        /// `[(height + 1) / 2, (width + 1) / 2]`.
        blue: Plane<'a>,
        /// `[(height + 1) / 2, (width + 1) / 2]`.
        red: Plane<'a>,
    },
}

/// One picture as a camera gives it, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    /// How the pixels lie.
    pub format: PixelFormat,
    /// Width in pixels, 1..=16384.
    pub width: usize,
    /// Height in pixels, 1..=16384. Width times height is at most 8192 x 8192.
    pub height: usize,
    /// The pixels.
    pub planes: Planes<'a>,
    /// When it was taken, in seconds, on the clock that the sound has too. Any clock that does not go back will do.
    pub time_s: f64,
}

/// A plane that was checked: its data holds `rows` rows of `row_bytes` bytes, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckedPlane<'a> {
    data: &'a [u8],
    stride: usize,
    row_bytes: usize,
    rows: usize,
}

impl<'a> CheckedPlane<'a> {
    /// The pixels of each row, without padding.
    pub(super) fn rows(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.rows).filter_map(move |row| {
            let start = row * self.stride;
            self.data.get(start..start + self.row_bytes)
        })
    }
}

impl<'a> RawFrame<'a> {
    /// Whether the picture has a usable size and its planes hold it.
    ///
    /// # Errors
    /// `invalid_argument` naming the plane and what it lacks; `media_too_large` for too many pixels.
    pub fn check(&self) -> Result<()> {
        self.checked_planes().map(drop)
    }

    /// The planes in the order of the format, checked.
    pub(super) fn checked_planes(&self) -> Result<Vec<CheckedPlane<'a>>> {
        let (format, width, height) = (self.format.name(), self.width, self.height);
        if width == 0 || height == 0 {
            return Err(Error::invalid_argument(format!("a picture of {width} x {height} has no pixels")));
        }
        let pixels = width as u64 * height.min(MAX_SIDE) as u64;
        if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
            return Err(Error::new(
                ErrorKind::MediaTooLarge,
                format!("a picture of {width} x {height} is too large; give at most {MAX_SIDE} pixels a side and 8192 x 8192 in all"),
            ));
        }
        let given: Vec<Plane<'a>> = match (self.format, self.planes) {
            (PixelFormat::Nv12, Planes::Nv12 { luma, chroma }) => vec![luma, chroma],
            (PixelFormat::I420, Planes::I420 { luma, blue, red }) => vec![luma, blue, red],
            (PixelFormat::Nv12 | PixelFormat::I420, _)
            | (_, Planes::Nv12 { .. } | Planes::I420 { .. }) => {
                return Err(Error::invalid_argument(format!(
                    "the planes of the picture are not those of {format}; nv12 has two, i420 three, every other format one"
                )))
            }
            (_, Planes::Packed(plane)) => vec![plane],
        };
        let needed = self.format.planes(width, height);
        given
            .into_iter()
            .zip(needed)
            .map(|(plane, (name, row_bytes, rows))| {
                let what = || format!("the {name} plane of a {format} picture of {width} x {height}");
                let Plane { data, stride } = plane;
                if stride < row_bytes {
                    return Err(Error::invalid_argument(format!(
                        "{} has a stride of {stride} bytes, {} less than the {row_bytes} of a row",
                        what(),
                        row_bytes - stride
                    )));
                }
                let needed = stride.checked_mul(rows - 1).and_then(|bytes| bytes.checked_add(row_bytes));
                match needed {
                    Some(needed) if needed <= data.len() => Ok(CheckedPlane { data, stride, row_bytes, rows }),
                    Some(needed) => Err(Error::invalid_argument(format!(
                        "{} with a stride of {stride} has {} bytes, {} less than the {needed} it needs",
                        what(),
                        data.len(),
                        needed - data.len()
                    ))),
                    None => {
                        Err(Error::invalid_argument(format!("{} has an impossible stride of {stride} bytes", what())))
                    }
                }
            })
            .collect()
    }
}
