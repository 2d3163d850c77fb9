//! From a file or bytes to frames and sound.
//!
//! [`decode`] reads a file twice: first the packets only, which gives the true time line whatever the header claims, then
//! once more to decode. The frames to keep are therefore known before the first one is decoded. Where the packets tell which pictures refer to
//! which, only the pictures that a kept frame needs are decoded; if that goes wrong, as in a damaged file, all of them are. Memory holds the kept
//! frames and two more. An engine decodes pictures and sound apart (`Reel`), each in a reading of its own, and
//! takes each frame as it comes. Nothing but the named file is ever opened: the demuxers get their bytes from this
//! crate's own reader, and formats that refer to other files or to a network are not admitted.

mod access;
pub(crate) mod audio;
mod backend;
pub(crate) mod convert;
mod demuxer;
mod drain;
mod encode;
#[cfg(feature = "cuda")]
mod hardware;
pub(crate) mod mix;
mod note;
pub(crate) mod pairs;
pub(crate) mod pick;
mod plan;
mod raw;
mod scan;
mod source;
mod streams;
#[cfg(test)]
mod tests;
mod video;

use std::fmt;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "cuda")]
pub use crate::cuda::surface::DevicePicture;
pub use backend::{backend_version, has_decoder, has_nvdec};
pub use encode::encode;
pub use note::Note;
pub use source::{FileReader, OpenFile, Source};
pub(crate) use streams::{Pictures, Reel};

/// One decoded picture.
#[derive(Clone)]
pub struct Frame {
    /// Width in pixels, after rotation.
    pub width: usize,
    /// Height in pixels, after rotation.
    pub height: usize,
    /// `[height, width, 3]`, 8-bit sRGB, rows without padding. Transparency is dropped.
    pub rgb: Vec<u8>,
    /// Presentation time in seconds from the start of the clip.
    pub time_s: f64,
    /// Number of the frame in the video, from 0.
    pub index: u64,
    /// Width of the picture as displayed at full size (after rotation and pixel aspect), in pixels. `source_width / width` scales
    /// a position in [`Frame::rgb`] to it.
    pub source_width: usize,
    /// Height of the picture as displayed at full size (after rotation and pixel aspect), in pixels.
    pub source_height: usize,
    /// The same picture where it was decoded, if that was a graphics processor and nothing was scaled.
    #[cfg(feature = "cuda")]
    pub on_device: Option<Arc<DevicePicture>>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} x {}, index {}, {:.3} s)", self.width, self.height, self.index, self.time_s)
    }
}

/// Mono sound.
#[derive(Clone)]
pub struct Waveform {
    /// 16 kHz mono samples, nominally in -1..1.
    pub samples: Vec<f32>,
}

impl fmt::Debug for Waveform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waveform({} samples)", self.samples.len())
    }
}

impl Waveform {
    /// Samples per second of every waveform in this crate.
    pub const SAMPLE_RATE: u32 = 16_000;

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(Self::SAMPLE_RATE)
    }
}

/// What is refused, so that a hostile or mistaken input cannot use up the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest clip in seconds. Default 600.
    pub max_duration_s: f64,
    /// Most pixels in one frame of the source. Default 8192 × 8192.
    pub max_pixels: u64,
    /// Most streams in the file, of every kind. Default 64.
    pub max_streams: usize,
    /// Most bytes in the input. Default no limit.
    pub max_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_duration_s: 600.0, max_pixels: 8192 * 8192, max_streams: 64, max_bytes: None }
    }
}

impl Limits {
    /// The error of an input whose `quantity` is `value` where the limit `name` allows `limit`.
    fn exceeded(name: &str, quantity: &str, value: impl std::fmt::Display, limit: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::MediaTooLarge,
            format!(
                "the {quantity} is {value}, above the limit {name} = {limit}; raise {name} in the limits to accept it"
            ),
        )
    }

    fn check_duration(&self, seconds: f64) -> Result<()> {
        if seconds > self.max_duration_s {
            let shown = format!("{seconds:.1} s or more");
            return Err(Self::exceeded("max_duration_s", "duration", shown, self.max_duration_s));
        }
        Ok(())
    }

    fn check_pixels(&self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            let shown = format!("{width} x {height} = {pixels} pixels");
            return Err(Self::exceeded("max_pixels", "picture", shown, self.max_pixels));
        }
        Ok(())
    }

    fn check_streams(&self, streams: usize) -> Result<()> {
        if streams > self.max_streams {
            return Err(Self::exceeded("max_streams", "number of streams", streams, self.max_streams));
        }
        Ok(())
    }

    fn check_bytes(&self, bytes: u64) -> Result<()> {
        match self.max_bytes {
            Some(limit) if bytes > limit => Err(Self::exceeded("max_bytes", "size in bytes", bytes, limit)),
            _ => Ok(()),
        }
    }
}

/// A single frame that a caller wants by its place in the clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FramePick {
    /// The first frame.
    First,
    /// The frame nearest to the middle of the video's time.
    Middle,
    /// The frame nearest to this many seconds from the start of the clip.
    At(f64),
}

/// Which frames are kept, and at what size.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Most frames that are kept, spread evenly: the video's time is cut in this many bins, and the frame nearest to the centre
    /// of each is kept. 0 keeps none. Default 12.
    pub max_frames: usize,
    /// One frame that is kept in addition to the evenly spread ones (unless it is among them). Default none.
    pub pick: Option<FramePick>,
    /// Segments by frame number whose two neighbouring frames are kept in addition, see [`Clip::pairs`]. Default 0.
    pub pairs: usize,
    /// Kept frames are scaled down so that the longer side has at most this many pixels. Default 1280.
    pub max_side: usize,
    /// The graphics processor that decodes what it can, by its number. Default none.
    #[cfg(feature = "cuda")]
    pub gpu: Option<usize>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_frames: 12,
            pick: None,
            pairs: 0,
            max_side: 1280,
            #[cfg(feature = "cuda")]
            gpu: None,
        }
    }
}

impl Sampling {
    /// Whether a graphics processor decodes what it can.
    fn has_gpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.gpu.is_some();
        #[cfg(not(feature = "cuda"))]
        return false;
    }

    /// The same on the processor.
    fn without_gpu(&self) -> Self {
        Self {
            #[cfg(feature = "cuda")]
            gpu: None,
            ..self.clone()
        }
    }
}

/// What was decoded from one input. Time 0 is the start of whichever of video and sound starts first.
#[derive(Debug, Clone)]
pub struct Clip {
    /// The kept frames in the order of time.
    pub frames: Vec<Frame>,
    /// Positions in [`Clip::frames`] of two neighbouring frames from each of [`Sampling::pairs`] segments, `[2 * pairs]`, in
    /// order, with repeats where the video is short. The numbers are those of VideoMAE's sampling (TSN's segments with two
    /// frames each): of `n` frames and `k` segments the first ones are `trunc(tick / 2 + tick * i)` with
    /// `tick = (n - 1) / k`, all of them 0 when `n <= k + 1`. `n` is counted before decoding, from the packets; where damage
    /// makes frames missing, the last two stand in. Empty without video.
    pub pairs: Vec<usize>,
    /// The sound, padded with silence from time 0 to its own start. `None` without decodable sound.
    pub audio: Option<Waveform>,
    /// Length in seconds, from time 0 to the end of whichever of video and sound ends last. 0 for a still picture.
    pub duration_s: f64,
    /// Whether frames could be decoded.
    pub has_video: bool,
    /// Whether sound could be decoded.
    pub has_audio: bool,
    /// Video time range in seconds, start of the first frame and end of the last.
    pub video_span_s: (f64, f64),
    /// Clockwise rotation that was applied to the pictures: 0, 90, 180 or 270 degrees.
    pub rotation_deg: u32,
    /// How many frames the video has: those that came out of the decoder, and those that were left out because no kept one needs them.
    pub frame_count: u64,
    /// How many frames came out of the decoder, kept or not.
    pub frames_decoded: u64,
    /// Remarks on what is missing or damaged.
    pub notes: Vec<Note>,
}

impl Clip {
    /// Position in [`Clip::frames`] of the kept frame nearest to `pick`; the earlier one when two are as near. `None` without
    /// frames. With the same `pick` in [`Sampling::pick`] it is the nearest of all frames of the video.
    pub fn frame_at(&self, pick: FramePick) -> Option<usize> {
        let wanted = pick::wanted_time(pick, self.video_span_s);
        let distance = |frame: &Frame| (frame.time_s - wanted).abs();
        let mut best: Option<(usize, f64)> = None;
        for (position, frame) in self.frames.iter().enumerate() {
            if best.is_none_or(|(_, nearest)| distance(frame) < nearest) {
                best = Some((position, distance(frame)));
            }
        }
        best.map(|(position, _)| position)
    }
}

/// Decodes `source` to frames and sound.
///
/// The kind of file is told from its content, never from its name.
///
/// # Errors
/// - `not_found`: the path does not exist.
/// - `invalid_argument`: the path is a directory or cannot be read, or an option has no usable value.
/// - `media_undecodable`: empty, not media, or damaged so much that neither a frame nor a sound came out.
/// - `media_too_large`: beyond one of `limits`; the message names it.
/// - `cancelled`: `cancel` was set.
pub fn decode(source: &Source, sampling: &Sampling, limits: &Limits, cancel: &CancelToken) -> Result<Clip> {
    let reel = Reel::open(source, sampling, limits, cancel)?;
    let mut frames = Vec::new();
    let (pictures, sound) = reel.both(&mut |frame| frames.push(frame), cancel)?;
    frames.drain(..pictures.void.min(frames.len()));
    reel.clip(frames, pictures, sound)
}

/// Refuses what no frames can be chosen by.
pub(crate) fn check_sampling(sampling: &Sampling) -> Result<()> {
    if sampling.max_side == 0 {
        return Err(Error::invalid_argument(
            "max_side is 0; give the longest side of kept frames in pixels, 1 or more",
        ));
    }
    if let Some(FramePick::At(seconds)) = sampling.pick {
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(Error::invalid_argument(format!(
                "the frame at {seconds} s cannot be picked; give a finite number of seconds, 0 or more"
            )));
        }
    }
    Ok(())
}

fn check_options(sampling: &Sampling, limits: &Limits) -> Result<()> {
    check_sampling(sampling)?;
    if limits.max_duration_s.is_nan() || limits.max_duration_s <= 0.0 {
        return Err(Error::invalid_argument(format!(
            "max_duration_s is {}; give a positive number of seconds",
            limits.max_duration_s
        )));
    }
    Ok(())
}
