//! What an analysis is about.

use std::mem::{offset_of, size_of};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::backend::{Backend, Conversation};
use emotion_llama_core::media::{Clip, Source};
use emotion_llama_core::request::{ClipRequest, Question, Request};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::live::Live;
use crate::pointer::Versioned;
use crate::stream::Tell;
use crate::{injected, pointer};

/// A clip that is not a file: its bytes, or the last seconds of a live buffer. Set everything that is not named to 0. Since 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Media {
    /// Bytes of this struct: `sizeof(emotion_llama_media)`.
    pub size: usize,
    /// The bytes of a video, sound or picture file, or NULL. They are copied.
    pub data: *const u8,
    /// How many bytes there are at `data`.
    pub length: usize,
    /// A live buffer in place of bytes, or NULL. What is pushed to it later does not count.
    pub live: *const Live,
    /// How many of the last seconds of the live buffer the clip has; 0 for all it holds.
    pub seconds: f64,
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for Media {
    const FIRST_SIZE: usize = offset_of!(Media, seconds) + size_of::<f64>();
}

/// A question and what it is about.
pub(crate) enum Input {
    /// A file or the bytes of one.
    File(Request),
    /// A part of a live buffer.
    Clip(Box<Clip>, ClipRequest),
}

impl Input {
    /// What `request` and `media` say. A clip is cut from a live buffer as `engine` wants it.
    ///
    /// # Safety
    /// `media` is NULL or begins with its size, its `data` can be read for its length and its `live` was not freed.
    pub(crate) unsafe fn read(engine: &Backend, request: &[u8], media: *const Media) -> Result<Self> {
        if media.is_null() {
            return Ok(Input::File(Request::from_json(request, None)?));
        }
        // SAFETY: as this function asks of its caller.
        let media = unsafe { pointer::versioned(media, "media") }?;
        // SAFETY: as this function asks of its caller.
        let (data, live) = unsafe { (pointer::bytes(media.data, media.length, "media's data")?, media.live.as_ref()) };
        match (data, live) {
            (Some(_), Some(_)) => Err(Error::invalid_argument(
                "media has data and a live buffer; set one of them and leave the other NULL",
            )),
            (data, None) if media.seconds != 0.0 => Err(Error::invalid_argument(format!(
                "media's seconds are {}, which is for a live buffer; set them to 0 for {}",
                media.seconds,
                if data.is_some() { "bytes" } else { "a file" }
            ))),
            (data, None) => Ok(Input::File(Request::from_json(request, data.map(|data| Source::from(data.to_vec())))?)),
            (None, Some(live)) => {
                let request = ClipRequest::from_json(request)?;
                let sampling = engine.sampling(request.frame);
                let buffer = live.buffer();
                let seconds = if media.seconds == 0.0 { buffer.options().seconds } else { media.seconds };
                let clip = buffer.clip(seconds, &sampling)?;
                Ok(Input::Clip(Box::new(clip), request))
            }
        }
    }

    /// What is asked.
    pub(crate) fn question(&self) -> &Question {
        match self {
            Input::File(request) => &request.question,
            Input::Clip(_, request) => &request.question,
        }
    }

    /// Begins a conversation about it.
    pub(crate) fn converse(&self, engine: &Backend, cancel: &CancelToken) -> Result<Conversation> {
        match self {
            Input::File(request) => engine.converse(request, cancel),
            Input::Clip(clip, request) => engine.converse_about(clip, request, cancel),
        }
    }

    /// Analyses it.
    pub(crate) fn analyze(&self, engine: &Backend, cancel: &CancelToken, tell: &mut Tell<'_>) -> Result<Analysis> {
        let tell = &mut injected::at_stages(tell);
        match self {
            Input::File(request) => engine.analyze(request, cancel, tell),
            Input::Clip(clip, request) => engine.analyze_clip(clip, request, cancel, tell),
        }
    }
}
