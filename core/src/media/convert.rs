//! One decoded picture of any pixel format to upright 8-bit RGB.

#![allow(unsafe_code, reason = "colour spaces and side data are set through FFmpeg itself")]

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::side_data::Type as SideDataType;
use ffmpeg_next::software::scaling::{self, Flags};
use ffmpeg_next::{ffi, frame};

use super::scan::seconds;
use super::{raw, Frame};
#[cfg(feature = "cuda")]
use crate::cuda::parameters::{ORIENTATION_FLIP_X, ORIENTATION_FLIP_Y, ORIENTATION_TRANSPOSE};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "cuda")]
use crate::preprocess::color::{ColorCoefficients, ColorMatrix};

/// `AVCOL_RANGE_JPEG`: 0..255 instead of 16..235.
const RANGE_FULL: i32 = 2;
/// Pictures lower than this without a declared matrix are taken for standard definition (BT.601), others for BT.709.
const HIGH_DEFINITION_HEIGHT: u32 = 720;
/// Pixel aspects beyond this (either way) are taken for nonsense.
const MAX_PIXEL_ASPECT: f64 = 8.0;

/// How stored rows and columns become displayed ones: first `transpose` (rows become columns), then the flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    transpose: bool,
    flip_x: bool,
    flip_y: bool,
}

impl Orientation {
    /// The nearest of the eight orientations to a display matrix (36 bytes: nine native-endian `i32`), as in libavutil's
    /// `display.h`. `None` for a matrix that is degenerate or of another size.
    pub fn from_matrix(bytes: &[u8]) -> Option<Self> {
        let mut cells = bytes.chunks_exact(4).map(|cell| cell.try_into().map(i32::from_ne_bytes));
        let mut cell = || cells.next()?.ok().map(i64::from);
        let (a, b, _, c, d) = (cell()?, cell()?, cell()?, cell()?, cell()?);
        if a * d == b * c {
            return None;
        }
        // x' = a x + c y, y' = b x + d y: a negative sign runs the axis backwards.
        let transpose = b.abs() + c.abs() > a.abs() + d.abs();
        let (x, y) = if transpose { (c, b) } else { (a, d) };
        Some(Self { transpose, flip_x: x < 0, flip_y: y < 0 })
    }

    /// Clockwise rotation in degrees, leaving mirroring aside.
    pub fn rotation_deg(self) -> u32 {
        match (self.transpose, self.flip_x, self.flip_y) {
            (false, _, false) => 0,
            (false, false, true) => 0,
            (false, true, true) => 180,
            (true, true, _) => 90,
            (true, false, _) => 270,
        }
    }

    /// As the kernels have it.
    #[cfg(feature = "cuda")]
    pub fn bits(self) -> i32 {
        let bit = |is_set: bool, bit: i32| if is_set { bit } else { 0 };
        bit(self.transpose, ORIENTATION_TRANSPOSE)
            | bit(self.flip_x, ORIENTATION_FLIP_X)
            | bit(self.flip_y, ORIENTATION_FLIP_Y)
    }

    /// `[height, width, 3]` pixels with `stride` bytes per row to upright ones without padding.
    fn apply(self, pixels: &[u8], stride: usize, width: usize, height: usize) -> Vec<u8> {
        let mut upright = Vec::with_capacity(width * height * 3);
        if !self.transpose && !self.flip_x {
            for row in 0..height {
                let row = if self.flip_y { height - 1 - row } else { row };
                upright.extend(pixels.get(row * stride..row * stride + width * 3).unwrap_or_default());
            }
            return upright;
        }
        let (columns, rows) = if self.transpose { (height, width) } else { (width, height) };
        for row in 0..rows {
            for column in 0..columns {
                let column = if self.flip_x { columns - 1 - column } else { column };
                let row = if self.flip_y { rows - 1 - row } else { row };
                let (x, y) = if self.transpose { (row, column) } else { (column, row) };
                upright.extend(pixels.get(y * stride + x * 3..y * stride + x * 3 + 3).unwrap_or_default());
            }
        }
        upright
    }
}

/// Converts frames of one stream; keeps the scaler while the format stays the same.
pub(crate) struct Converter {
    max_side: usize,
    stream_orientation: Orientation,
    // Stills are always BT.601 unless they say otherwise: so JPEG and WebP define it.
    is_still: bool,
    scaler: Option<(Setup, scaling::Context)>,
}

// SAFETY: the scaler is owned by the converter alone, is used through `&mut self` only, and libswscale ties no context to a thread.
unsafe impl Send for Converter {}

/// How a picture that keeps its size is turned and coloured.
#[cfg(feature = "cuda")]
pub(crate) struct Unscaled {
    pub orientation: Orientation,
    pub colors: ColorCoefficients,
}

#[derive(PartialEq, Eq, Clone, Copy)]
struct Setup {
    format: Pixel,
    width: u32,
    height: u32,
    matrix: i32,
    is_full_range: bool,
    to: (u32, u32),
}

impl Converter {
    pub fn new(max_side: usize, stream_orientation: Orientation, is_still: bool) -> Self {
        Self { max_side, stream_orientation, is_still, scaler: None }
    }

    /// How `picture` is to be turned: what it says itself (EXIF), or else what its stream says.
    pub fn orientation(&self, picture: &frame::Video) -> Orientation {
        picture
            .side_data(SideDataType::DisplayMatrix)
            .and_then(|data| Orientation::from_matrix(data.data()))
            .unwrap_or(self.stream_orientation)
    }

    /// `picture` upright, in RGB, scaled down to the longest side allowed.
    pub fn convert(&mut self, picture: &frame::Video, time_s: f64, index: u64) -> Result<Frame> {
        let (display_width, display_height) = display_size(picture);
        let to = self.target(picture);
        let rgb = self.scale(picture, to)?;
        let orientation = self.orientation(picture);
        let (width, height) = (to.0 as usize, to.1 as usize);
        let upright = orientation.apply(rgb.data(0), rgb.stride(0), width, height);
        let turned =
            |(width, height): (usize, usize)| if orientation.transpose { (height, width) } else { (width, height) };
        let (width, height) = turned((width, height));
        let (source_width, source_height) = turned((display_width as usize, display_height as usize));
        if upright.len() != width * height * 3 {
            return Err(Error::internal("a converted picture has missing rows"));
        }
        Ok(Frame {
            width,
            height,
            rgb: upright,
            time_s,
            index,
            source_width,
            source_height,
            #[cfg(feature = "cuda")]
            on_device: None,
        })
    }

    /// The size that `picture` is scaled to, as stored.
    fn target(&self, picture: &frame::Video) -> (u32, u32) {
        let (width, height) = display_size(picture);
        let scale = (self.max_side as f64 / width.max(height)).min(1.0);
        let scaled = |side: f64| (side * scale).round().max(1.0) as u32;
        (scaled(width), scaled(height))
    }

    /// What becomes of `picture` if it keeps its size.
    #[cfg(feature = "cuda")]
    pub fn unscaled(&self, picture: &frame::Video) -> Option<Unscaled> {
        if self.target(picture) != (picture.width(), picture.height()) {
            return None;
        }
        let (matrix, is_full_range) = color_coding(picture, self.is_still);
        let matrix = match matrix {
            ffi::SWS_CS_ITU709 => ColorMatrix::Bt709,
            ffi::SWS_CS_FCC => ColorMatrix::Fcc,
            ffi::SWS_CS_SMPTE240M => ColorMatrix::Smpte240m,
            ffi::SWS_CS_BT2020 => ColorMatrix::Bt2020,
            _ => ColorMatrix::Bt601,
        };
        let colors = ColorCoefficients::new(matrix, is_full_range);
        Some(Unscaled { orientation: self.orientation(picture), colors })
    }

    fn scale(&mut self, picture: &frame::Video, to: (u32, u32)) -> Result<frame::Video> {
        let (matrix, is_full_range) = color_coding(picture, self.is_still);
        let setup = Setup {
            format: picture.format(),
            width: picture.width(),
            height: picture.height(),
            matrix,
            is_full_range,
            to,
        };
        // libswscale ends the process when it is asked for a format that it does not know.
        if setup.format == Pixel::None || setup.width == 0 || setup.height == 0 {
            return Err(unconvertible(&setup));
        }
        let scaler = match self.scaler.take() {
            Some((known, scaler)) if known == setup => scaler,
            _ => scaler(&setup)?,
        };
        let (_, scaler) = self.scaler.insert((setup, scaler));
        let mut rgb = blank(Pixel::RGB24, to.0, to.1)?;
        // SAFETY: the scaler was made for exactly the format and size of `picture` (`known == setup`), whose planes are valid
        // for that format as the decoder made them, and for the format and size of `rgb`, allocated just above.
        let rows = unsafe {
            let (from, into) = (picture.as_ptr(), rgb.as_mut_ptr());
            ffi::sws_scale(
                scaler.as_mut_ptr(),
                (*from).data.as_ptr().cast(),
                (*from).linesize.as_ptr(),
                0,
                picture.height() as i32,
                (*into).data.as_ptr(),
                (*into).linesize.as_ptr(),
            )
        };
        if rows != to.1 as i32 {
            return Err(unconvertible(&setup));
        }
        Ok(rgb)
    }
}

/// A picture with room for its pixels, which are not set.
///
/// # Errors
/// `out_of_memory`.
pub(crate) fn blank(format: Pixel, width: u32, height: u32) -> Result<frame::Video> {
    let picture = frame::Video::new(format, width, height);
    // SAFETY: a frame whose buffer could not be allocated has no data; only that is read.
    if unsafe { picture.is_empty() } {
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("no memory for a picture of {width} x {height}; lower max_side or give smaller pictures"),
        ));
    }
    Ok(picture)
}

fn scaler(setup: &Setup) -> Result<scaling::Context> {
    let shrinks = setup.to.0 < setup.width || setup.to.1 < setup.height;
    let quality = Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT;
    // Without it RGB loses half its chroma, and in pictures of odd width the last column is mixed with the padding.
    let quality = quality | Flags::FULL_CHR_H_INP;
    let flags = if shrinks { Flags::AREA } else { Flags::BILINEAR } | quality;
    let (width, height) = setup.to;
    let mut scaler = scaling::Context::get(setup.format, setup.width, setup.height, Pixel::RGB24, width, height, flags)
        .map_err(|_| unconvertible(setup))?;
    // SAFETY: the scaler is live; the coefficient tables are static arrays of libswscale. A format without a matrix (RGB, palette)
    // makes the call fail without effect, as it should.
    unsafe {
        ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            ffi::sws_getCoefficients(setup.matrix),
            i32::from(setup.is_full_range),
            ffi::sws_getCoefficients(ffi::SWS_CS_DEFAULT),
            1,
            0,
            1 << 16,
            1 << 16,
        );
    }
    Ok(scaler)
}

fn unconvertible(setup: &Setup) -> Error {
    Error::undecodable(format!(
        "pictures of {} x {} in the pixel format {:?} cannot be converted; convert the file to H.264 with yuv420p",
        setup.width, setup.height, setup.format
    ))
}

/// Size as shown: the stored size, stretched along one side where pixels are not square.
fn display_size(picture: &frame::Video) -> (f64, f64) {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let aspect = seconds(picture.aspect_ratio());
    if !(1.0 / MAX_PIXEL_ASPECT..=MAX_PIXEL_ASPECT).contains(&aspect) {
        (width, height)
    } else if aspect >= 1.0 {
        ((width * aspect).round(), height)
    } else {
        (width, (height / aspect).round())
    }
}

/// The matrix (`SWS_CS_*`) and whether the range is full, from what the picture declares or, where it does not, from what such
/// pictures usually are.
fn color_coding(picture: &frame::Video, is_still: bool) -> (i32, bool) {
    let format = format!("{:?}", picture.format());
    let is_full_range =
        raw::color_range(picture) == RANGE_FULL || ["YUVJ", "GRAY", "YA"].iter().any(|kind| format.starts_with(kind));
    // Numbers of `AVColorSpace` = ITU-T H.273 matrix coefficients.
    let matrix = match raw::color_matrix(picture) {
        1 => ffi::SWS_CS_ITU709,
        4 => ffi::SWS_CS_FCC,
        5 | 6 => ffi::SWS_CS_ITU601,
        7 => ffi::SWS_CS_SMPTE240M,
        9 | 10 => ffi::SWS_CS_BT2020,
        _ if !is_still && picture.height().min(picture.width()) >= HIGH_DEFINITION_HEIGHT => ffi::SWS_CS_ITU709,
        _ => ffi::SWS_CS_ITU601,
    };
    (matrix, is_full_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30].iter().flat_map(|cell| cell.to_ne_bytes()).collect()
    }

    #[test]
    fn orientations_move_the_corners() {
        // One row of two pixels: 1 on the left, 2 on the right.
        let pixels = [1, 1, 1, 2, 2, 2];
        for (cells, rotation, expected) in [
            ((1, 0, 0, 1), 0, [1, 2]),
            ((-1, 0, 0, -1), 180, [2, 1]),
            ((0, 1, -1, 0), 90, [1, 2]),
            ((0, -1, 1, 0), 270, [2, 1]),
            ((-1, 0, 0, 1), 0, [2, 1]),
        ] {
            let orientation = Orientation::from_matrix(&matrix(cells.0, cells.1, cells.2, cells.3)).unwrap();
            assert_eq!(orientation.rotation_deg(), rotation, "{cells:?}");
            let upright: Vec<u8> = orientation.apply(&pixels, 6, 2, 1).into_iter().step_by(3).collect();
            assert_eq!(upright, expected, "{cells:?}");
        }
    }

    #[test]
    fn senseless_matrices_are_ignored() {
        assert_eq!(Orientation::from_matrix(&matrix(0, 0, 0, 0)), None);
        assert_eq!(Orientation::from_matrix(&[0; 7]), None);
    }
}
