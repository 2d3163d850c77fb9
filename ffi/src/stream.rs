//! An analysis whose events are fetched one by one.

use std::ffi::c_char;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::event::{Event as CoreEvent, Label};
use emotion_llama_core::{CancelToken, Error, ErrorKind, Result};
use serde::Serialize;

use crate::cancel::Cancel;
use crate::engine::{work, Engine};
use crate::media::Media;
use crate::status::Status;
use crate::text::Text;
use crate::{boundary, pointer};

/// A running analysis. Several threads may fetch events; each event goes to one of them. Freed with `emotion_llama_stream_free`. Since 0.1.
pub struct Stream {
    events: Mutex<Receiver<Result<Event>>>,
    stop: CancelToken,
}

/// What takes the events of running work.
pub(crate) type Tell<'a> = dyn FnMut(CoreEvent<'_>) + Send + 'a;

/// An event as its JSON says it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Stage { stage: &'static str },
    Label(Label),
    Text { text: String },
    Result { analysis: Box<Analysis> },
}

impl Stream {
    /// Begins `work` on a thread of its own. It is given its cancel token and what it is to tell its events to.
    pub(crate) fn begin(
        cancel: &CancelToken,
        work: impl FnOnce(&CancelToken, &mut Tell<'_>) -> Result<Analysis> + Send + 'static,
    ) -> Result<Self> {
        let stop = cancel.child();
        let (sender, events) = channel();
        let token = stop.clone();
        std::thread::Builder::new()
            .name("emotion-llama".into())
            .spawn(move || run(work, &token, &sender))
            .map_err(|error| Error::new(ErrorKind::OutOfMemory, format!("no thread could be started: {error}")))?;
        Ok(Self { events: Mutex::new(events), stop })
    }
}

/// The whole work. Nobody may be listening any more: what cannot be sent is dropped.
fn run(
    work: impl FnOnce(&CancelToken, &mut Tell<'_>) -> Result<Analysis>,
    cancel: &CancelToken,
    sender: &Sender<Result<Event>>,
) {
    let mut tell = |event: CoreEvent<'_>| {
        let event = match event {
            CoreEvent::Stage(stage) => Event::Stage { stage },
            CoreEvent::Label(label) => Event::Label(label.clone()),
            CoreEvent::Text(text) => Event::Text { text: text.to_owned() },
        };
        let _ = sender.send(Ok(event));
    };
    let outcome = boundary::caught(|| work(cancel, &mut tell));
    let _ = sender.send(outcome.map(|analysis| Event::Result { analysis: Box::new(analysis) }));
}

/// Begins an analysis on a thread of its own and writes the stream of its events to `*out`. The arguments are those of
/// `emotion_llama_analyze`; none is needed any more once this returns.
///
/// Fails with `invalid_argument` or `out_of_memory`; what goes wrong later comes from `emotion_llama_stream_next`. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_analyze`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_analyze_stream(
    engine: *const Engine,
    request: *const c_char,
    media: *const Media,
    cancel: *const Cancel,
    out: *mut *mut Stream,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (engine, input, cancel) = unsafe { work(engine, request, media, cancel) }?;
        let stream = Stream::begin(&cancel, move |cancel, tell| input.analyze(&engine, cancel, tell))?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, stream, "out") }
    })
}

/// Waits for the next event and writes it to `*out`: a JSON object whose `type` is `stage` (with `stage`: `decode`, `observe` or
/// `respond`), `label` (with `emotion`, `confidence` and `probabilities`, which are known before the text is written), `text` (with `text`, a
/// piece of the answer) or `result` (with `analysis`, as `emotion_llama_analyze` gives it). Pass over other types. After `result`, and after
/// a failure, there is nothing more: success with NULL in `*out`.
///
/// Fails with what `emotion_llama_analyze` fails with. Since 0.1.
///
/// # Safety
/// `stream` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_stream_next(stream: *const Stream, out: *mut *mut Text) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let stream = unsafe { pointer::handle(stream, "stream") }?;
        let event = stream.events.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match event {
            Ok(event) => {
                let text = Text::json(&event?)?;
                // SAFETY: as this function asks of its caller.
                unsafe { pointer::give(out, text, "out") }
            }
            Err(_) => {
                // SAFETY: not NULL, as was checked; the rest is as this function asks of its caller.
                unsafe { out.write(std::ptr::null_mut()) };
                Ok(())
            }
        }
    })
}

/// Frees a stream; an analysis that still runs is stopped, without waiting for it. NULL is allowed. Since 0.1.
///
/// # Safety
/// `stream` is NULL, or a stream that was not freed and from which nobody is fetching.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_stream_free(stream: *mut Stream) {
    boundary::value((), || {
        // SAFETY: as this function asks of its caller.
        if let Some(stream) = unsafe { stream.as_ref() } {
            stream.stop.cancel();
        }
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::free(stream) };
    });
}
