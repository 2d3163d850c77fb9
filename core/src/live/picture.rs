//! A raw picture to a frame, by the converter that files go through.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

use super::pixels::{PixelFormat, RawFrame};
use crate::error::{Error, Result};
use crate::media::convert::{blank, Converter, Orientation};
use crate::media::Frame;

/// Converts raw pictures; keeps its tables and one picture's room while format and size stay the same.
pub(super) struct PictureConverter {
    converter: Converter,
    /// A copy of the raw picture. libswscale reads whole vectors, past the end of a row, so it may not read the caller's memory.
    staged: Option<frame::Video>,
}

impl PictureConverter {
    /// A converter to frames whose longer side has at most `max_side` pixels.
    pub(super) fn new(max_side: usize) -> Self {
        Self { converter: Converter::new(max_side, Orientation::default(), false), staged: None }
    }

    /// `raw` as a frame: 8-bit RGB, scaled down to the longest side allowed (each pixel the mean of what it covers).
    ///
    /// # Errors
    /// `invalid_argument` and `media_too_large` as [`RawFrame::check`]; `out_of_memory`.
    pub(super) fn convert(&mut self, raw: &RawFrame<'_>, index: u64) -> Result<Frame> {
        let planes = raw.checked_planes()?;
        let too_large = |_| Error::internal("a picture's size was not checked");
        let width = u32::try_from(raw.width).map_err(too_large)?;
        let height = u32::try_from(raw.height).map_err(too_large)?;
        let format = ffmpeg_format(raw.format);
        let fits =
            |staged: &frame::Video| (staged.format(), staged.width(), staged.height()) == (format, width, height);
        let staged = match self.staged.take().filter(fits) {
            Some(staged) => staged,
            None => cleared(format, width, height)?,
        };
        let staged = self.staged.insert(staged);
        for (index, plane) in planes.into_iter().enumerate().take(staged.planes()) {
            let stride = staged.stride(index).max(1);
            for (to, from) in staged.data_mut(index).chunks_mut(stride).zip(plane.rows()) {
                if let Some(to) = to.get_mut(..from.len()) {
                    to.copy_from_slice(from);
                }
            }
        }
        self.converter.convert(staged, raw.time_s, index)
    }
}

/// A picture whose bytes, those between the rows too, are 0.
fn cleared(format: Pixel, width: u32, height: u32) -> Result<frame::Video> {
    let mut picture = blank(format, width, height)?;
    (0..picture.planes()).for_each(|index| picture.data_mut(index).fill(0));
    Ok(picture)
}

fn ffmpeg_format(format: PixelFormat) -> Pixel {
    match format {
        PixelFormat::Rgb24 => Pixel::RGB24,
        PixelFormat::Bgr24 => Pixel::BGR24,
        PixelFormat::Rgba32 => Pixel::RGBA,
        PixelFormat::Bgra32 => Pixel::BGRA,
        PixelFormat::Nv12 => Pixel::NV12,
        PixelFormat::I420 => Pixel::YUV420P,
        PixelFormat::Gray8 => Pixel::GRAY8,
    }
}
