//! What a launch for many pictures takes: a descriptor of each, and the tables that they share. Nothing here needs a device.

use std::collections::HashMap;

use super::parameters::{ChromaTap, ColorCoefficients, Frame, Window, FORMAT_NV12, FORMAT_P010, FORMAT_RGB24};
use super::surface::{DevicePicture, Surface};
use crate::error::{Error, Result};
use crate::preprocess::color::{self, column_taps, row_taps, YuvLayout};
use crate::preprocess::{resize_windows, Filter};

/// Where pictures begin in the staging buffer.
const ALIGNMENT: usize = 16;

/// A square or other part of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// `[height, width, 3]`, 8-bit RGB.
    pub rgb: &'a [u8],
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Left, top, width and height of the part.
    pub part: [usize; 4],
    /// The same picture as it came out of a decoder, where it lies on a device.
    pub decoded: Option<&'a DevicePicture>,
}

/// The pictures of a launch.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// One for each cut. Where the picture is staged, its address is counted from the start of the staging buffer.
    pub frames: Vec<Frame>,
    /// The cuts that have to be staged, in the order of the buffer, and how long it is.
    pub staged: Vec<Cut<'a>>,
    pub staged_bytes: usize,
    pub windows: Vec<Window>,
    pub weights: Vec<i32>,
    pub chroma: Vec<ChromaTap>,
    pub colors: Vec<ColorCoefficients>,
    /// Where the windows from that many pixels begin, and the taps for that many columns, and rows.
    window_starts: HashMap<i32, i32>,
    column_starts: HashMap<usize, i32>,
    row_starts: HashMap<usize, i32>,
}

impl<'a> Batch<'a> {
    /// Each of `cuts`, for the device of this number. What was decoded there is taken from where it lies.
    ///
    /// # Errors
    /// `invalid_argument` for no cuts, or one whose buffer or part does not fit its size.
    pub fn new(cuts: &[Cut<'a>], device: usize) -> Result<Self> {
        if cuts.is_empty() {
            return Err(Error::invalid_argument("there are no pictures to be made"));
        }
        let mut batch = Self::default();
        for (output, cut) in cuts.iter().enumerate() {
            let rows = cut.checked_rows()?.len();
            let [.., width, height] = cut.part;
            let is_this =
                |surface: &Surface| surface.device == device && surface.upright_size() == (cut.width, cut.height);
            let surface = cut.decoded.map(DevicePicture::surface).filter(|surface| is_this(surface));
            let placed = match surface.and_then(|surface| Some((surface, format_of(surface.layout)?))) {
                Some((surface, format)) => Frame { format, ..batch.refer_to(surface, cut.part)? },
                None => batch.stage(cut, rows)?,
            };
            let frame =
                Frame { crop_width: whole(width)?, crop_height: whole(height)?, output: whole(output)?, ..placed };
            batch.frames.push(frame);
        }
        Ok(batch)
    }

    /// The same, to be resized to squares of `side` pixels.
    ///
    /// # Errors
    /// `invalid_argument` where there is no such square.
    pub fn resized_to(mut self, side: usize, filter: Filter) -> Result<Self> {
        for index in 0..self.frames.len() {
            let Frame { crop_width, crop_height, .. } = self.frames[index];
            let column_windows = self.windows_from(crop_width, side, filter)?;
            let row_windows = self.windows_from(crop_height, side, filter)?;
            self.frames[index] = Frame { column_windows, row_windows, ..self.frames[index] };
        }
        Ok(self)
    }

    /// A part that is copied to the staging buffer.
    fn stage(&mut self, cut: &Cut<'a>, rows: usize) -> Result<Frame> {
        let width = cut.part[2];
        let start = self.staged_bytes;
        self.staged_bytes += (rows * 3 * width).next_multiple_of(ALIGNMENT);
        self.staged.push(*cut);
        Ok(Frame {
            planes: [start as u64, 0, 0],
            strides: [3 * width as i64, 0, 0],
            width: whole(width)?,
            height: whole(rows)?,
            format: FORMAT_RGB24,
            ..Frame::default()
        })
    }

    /// A part of what the decoder left on the device.
    fn refer_to(&mut self, surface: &Surface, [left, top, ..]: [usize; 4]) -> Result<Frame> {
        let [luma, chroma] = surface.planes;
        let colors = surface.colors.into();
        let color = self.colors.iter().position(|known| *known == colors).unwrap_or_else(|| {
            self.colors.push(colors);
            self.colors.len() - 1
        });
        Ok(Frame {
            planes: [luma, chroma, 0],
            strides: [surface.strides[0] as i64, surface.strides[1] as i64, 0],
            width: whole(surface.width)?,
            height: whole(surface.height)?,
            crop_left: whole(left)?,
            crop_top: whole(top)?,
            orientation: surface.orientation,
            chroma_columns: taps(&mut self.chroma, &mut self.column_starts, surface.width, column_taps)?,
            chroma_rows: taps(&mut self.chroma, &mut self.row_starts, surface.height, row_taps)?,
            color: whole(color)?,
            ..Frame::default()
        })
    }

    /// Where the windows from `length` to `side` pixels begin.
    fn windows_from(&mut self, length: i32, side: usize, filter: Filter) -> Result<i32> {
        if let Some(&start) = self.window_starts.get(&length) {
            return Ok(start);
        }
        let start = whole(self.windows.len())?;
        let table = resize_windows(length.unsigned_abs() as usize, side, filter)?;
        let weights = self.weights.len();
        for window in table.windows {
            self.windows.push(Window {
                first: whole(window.first as usize)?,
                count: whole(window.count as usize)?,
                weights: whole(weights + window.weights as usize)?,
            });
        }
        self.weights.extend(table.weights);
        self.window_starts.insert(length, start);
        Ok(start)
    }
}

/// The layouts that decoders on a device give.
fn format_of(layout: YuvLayout) -> Option<i32> {
    match layout {
        YuvLayout::Nv12 => Some(FORMAT_NV12),
        YuvLayout::P010 => Some(FORMAT_P010),
        YuvLayout::I420 | YuvLayout::Yuv420P10 => None,
    }
}

/// Where the taps for `length` columns or rows begin.
fn taps(
    all: &mut Vec<ChromaTap>,
    starts: &mut HashMap<usize, i32>,
    length: usize,
    make: fn(usize) -> Vec<color::ChromaTap>,
) -> Result<i32> {
    if let Some(&start) = starts.get(&length) {
        return Ok(start);
    }
    let start = whole(all.len())?;
    for tap in make(length) {
        let first = whole(tap.first as usize)?;
        all.push(ChromaTap { first, weight: tap.weight, next_weight: tap.next_weight });
    }
    starts.insert(length, start);
    Ok(start)
}

impl From<color::ColorCoefficients> for ColorCoefficients {
    fn from(from: color::ColorCoefficients) -> Self {
        let color::ColorCoefficients { y_offset, y, v_to_r, v_to_g, u_to_g, u_to_b } = from;
        Self { y_offset, y, v_to_r, v_to_g, u_to_g, u_to_b }
    }
}

impl<'a> Cut<'a> {
    /// The part's rows.
    ///
    /// # Errors
    /// `invalid_argument` where buffer, size and part do not fit.
    pub fn checked_rows(&self) -> Result<impl ExactSizeIterator<Item = &'a [u8]>> {
        let [left, top, width, height] = self.part;
        let fits = |from: usize, length: usize, all: usize| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        let whole = self.width.checked_mul(self.height).and_then(|pixels| pixels.checked_mul(3));
        if whole != Some(self.rgb.len()) || !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(Error::invalid_argument(format!(
                "{width} x {height} pixels at ({left}, {top}) are no part of a picture of {} x {} with {} bytes",
                self.width,
                self.height,
                self.rgb.len()
            )));
        }
        let (stride, rgb) = (3 * self.width, self.rgb);
        Ok((top..top + height).map(move |row| &rgb[row * stride + 3 * left..][..3 * width]))
    }

    /// Copies the part to `buffer`, from `at` on; where the next one begins.
    ///
    /// # Errors
    /// As [`Cut::checked_rows`].
    pub fn stage(&self, buffer: &mut [u8], mut at: usize) -> Result<usize> {
        for row in self.checked_rows()? {
            buffer[at..at + row.len()].copy_from_slice(row);
            at += row.len();
        }
        Ok(at.next_multiple_of(ALIGNMENT))
    }
}

/// `count` as the kernels have it.
///
/// # Errors
/// `invalid_argument` where it is too large.
pub fn whole(count: usize) -> Result<i32> {
    i32::try_from(count)
        .map_err(|_| Error::invalid_argument(format!("{count} is beyond what a picture on a GPU may have")))
}
