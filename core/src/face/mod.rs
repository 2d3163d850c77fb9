//! Faces in frames: found, followed, aligned and read.
//!
//! [`FaceReader::read`] finds the faces in every frame, follows them, picks the most prominent one, measures its landmarks, lets
//! four expression nets look at it and fuses what they say. The frame described is the most expressive one unless the caller
//! asks for another.

mod crop;
mod detect;
mod expression;
mod fusion;
mod geometry;
mod landmarks;
mod picture;
mod reader;
mod search;
mod track;

use crate::error::{Error, Result};

pub use crop::{crop, crop_square, crops_for, FaceCrop};
pub use geometry::Geometry;
pub use reader::FaceReader;

/// Which frame is described.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FramePick {
    /// The most expressive one.
    #[default]
    Peak,
    /// The first with the face in it.
    First,
    /// The one nearest the middle of the clip.
    Middle,
    /// The one nearest a time in seconds.
    At(f64),
}

impl FramePick {
    /// The choice called `name`: `peak`, `first`, `middle`, or seconds from the start.
    ///
    /// # Errors
    /// `invalid_argument` listing the names.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "peak" => Ok(FramePick::Peak),
            "first" => Ok(FramePick::First),
            "middle" => Ok(FramePick::Middle),
            seconds => match seconds.parse::<f64>() {
                Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(FramePick::At(seconds)),
                _ => Err(Error::invalid_argument(format!(
                    "frame {name:?} is not known; use peak, first, middle or a number of seconds from the start"
                ))),
            },
        }
    }
}

/// A rectangle in pixels of the source picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// A face that was followed through the clip, where it is seen best (the described face: at the described frame).
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedFace {
    /// Where it is.
    pub bbox: FaceBox,
    /// The detector's score, 0..1.
    pub score: f32,
    /// Number of the track, from 0; the described face is track 0.
    pub track: usize,
    /// [`Frame::index`](crate::media::Frame::index) of the frame.
    pub frame_index: u64,
    /// Time of the frame in seconds.
    pub time_s: f64,
}

/// The face in the frame that is described.
#[derive(Debug, Clone, PartialEq)]
pub struct PeakFace {
    /// Position of the frame in the slice that was read.
    pub position: usize,
    /// Time of the frame in seconds.
    pub time_s: f64,
    /// [`Frame::index`](crate::media::Frame::index) of the frame.
    pub index: u64,
    /// Where the face is.
    pub bbox: FaceBox,
    /// The detector's score, 0..1.
    pub score: f32,
}

/// The described face in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameReading {
    /// Position of the frame in the slice that was read.
    pub position: usize,
    /// Time of the frame in seconds.
    pub time_s: f64,
    /// Where the face is.
    pub bbox: FaceBox,
    /// The detector's score, 0..1.
    pub score: f32,
    /// Fused posterior over [`FACE_CLASSES`](crate::features::FACE_CLASSES).
    pub posterior: [f32; 7],
    /// Facial geometry.
    pub geometry: Geometry,
}

/// What was found and read.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceReading {
    /// Every face, the described one first, the others by prominence.
    pub faces: Vec<TrackedFace>,
    /// The described face in the described frame.
    pub peak: PeakFace,
    /// Fused posterior over [`FACE_CLASSES`](crate::features::FACE_CLASSES) at the described frame; with [`FramePick::Peak`] half
    /// of it comes from the frames before and after.
    pub peak_posterior: [f32; 7],
    /// Its mean over the frames.
    pub mean_posterior: [f32; 7],
    /// Facial geometry at the described frame.
    pub geometry: Geometry,
    /// The posterior of each net at the described frame, by the net's name.
    pub per_net: Vec<(&'static str, [f32; 7])>,
    /// The described face in every frame where it was seen, in the order of time.
    pub per_frame: Vec<FrameReading>,
}
