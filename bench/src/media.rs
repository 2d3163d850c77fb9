//! Decoding a clip to a few frames of a given size.

use std::path::Path;
use std::time::Instant;

use emotion_llama_core::media::{self, Clip, Limits, Sampling, Source};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::number;

/// A clip's frames, `count` of them, the longer side at most `side` pixels, and its sound.
pub fn decode(source: &Source, count: usize, side: usize) -> Result<Clip> {
    let sampling = Sampling { max_frames: count, max_side: side, ..Sampling::default() };
    media::decode(source, &sampling, &Limits::default(), &CancelToken::new())
}

/// Seconds to decode.
pub fn time(clip: &str, count: &str, side: &str) -> Result<f64> {
    let (source, count, side) = (Source::from(Path::new(clip)), number(count)?, number(side)?);
    let began = Instant::now();
    let decoded = decode(&source, count, side)?;
    let took = began.elapsed().as_secs_f64();
    if decoded.frames.len() != count {
        return Err(Error::invalid_argument(format!("the clip gave {} frames", decoded.frames.len())));
    }
    Ok(took)
}
