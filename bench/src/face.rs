//! Reading the face in decoded frames.

use std::path::Path;
use std::time::Instant;

use emotion_llama_core::face::{FaceReader, FramePick};
use emotion_llama_core::media::{Frame, Source};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::{media, number};

/// A reader, and what it reads.
pub struct Face {
    reader: FaceReader,
    frames: Vec<Frame>,
}

impl Face {
    /// The reader of a pack, with so many frames of a clip.
    pub fn open(pack: &Path, clip: &str, count: &str) -> Result<Self> {
        let source = Source::from(Path::new(clip));
        let frames = media::decode(&source, number(count)?, usize::MAX)?.frames;
        Ok(Self { reader: FaceReader::open(pack)?, frames })
    }

    /// Additions and multiplications of the nets in [`Face::read`].
    pub fn operations(&self) -> Result<f64> {
        Ok(self.reader.operations(&self.frames)? as f64)
    }

    /// Seconds to read all the frames.
    pub fn read(&self) -> Result<f64> {
        let began = Instant::now();
        let reading = self.reader.read(&self.frames, FramePick::Peak, &CancelToken::new())?;
        let took = began.elapsed().as_secs_f64();
        reading.ok_or_else(|| Error::invalid_argument("the clip shows no face"))?;
        Ok(took)
    }
}
