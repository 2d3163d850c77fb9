//! Conversations about one clip.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::backend::Conversation;
use emotion_llama_core::request::Question;
use emotion_llama_core::{CancelToken, Error, ErrorKind, Result};

use crate::cancel::{token, Cancel};
use crate::engine::{work, Engine};
use crate::media::Media;
use crate::status::Status;
use crate::stream::{Stream, Tell};
use crate::text::Text;
use crate::{boundary, injected, pointer};

/// A conversation about one clip, which is decoded and read once. Answers one question at a time. Counts its references: a question that
/// is being answered keeps it. Freed with `emotion_llama_session_free`. Since 0.1.
pub struct Session(Arc<Mutex<Conversation>>);

/// Begins a conversation about a clip and writes it to `*out`. The arguments are those of `emotion_llama_analyze`, but `request` says only
/// what concerns the clip: `path`, `transcript`, `frame`, `features` and `limits`. Takes as long as an analysis without its answer.
///
/// Fails with what `emotion_llama_analyze` fails with. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_analyze`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_session_new(
    engine: *const Engine,
    request: *const c_char,
    media: *const Media,
    cancel: *const Cancel,
    out: *mut *mut Session,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (engine, input, cancel) = unsafe { work(engine, request, media, cancel) }?;
        if *input.question() != Question::default() {
            return Err(Error::invalid_argument(
                "the request that begins a session holds a question; ask it with emotion_llama_session_ask",
            ));
        }
        let session = Session(Arc::new(Mutex::new(input.converse(&engine, &cancel)?)));
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, session, "out") }
    })
}

/// Asks a question about the clip, after those before: a follow-up such as "Why?" is understood. Waits for the result and writes it to
/// `*out`, as `emotion_llama_analyze` does.
///
/// `request` is a JSON object as for `emotion_llama_analyze`, without what concerns the clip. A question that fails or is cancelled leaves
/// the conversation as it was. `usage.cached_tokens` says how much of the conversation was not read again.
///
/// Fails with `invalid_argument`, also when the conversation has become too long (reset it), `overloaded` when another question is being
/// answered, `out_of_memory` or `cancelled`. Since 0.1.
///
/// # Safety
/// `session` and `cancel` were not freed; `request` is NUL-terminated; `out` points at a place for a pointer. `cancel` may be NULL; NULL
/// elsewhere is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_session_ask(
    session: *const Session,
    request: *const c_char,
    cancel: *const Cancel,
    out: *mut *mut Text,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (conversation, question, cancel) = unsafe { asked(session, request, cancel) }?;
        let analysis = ask(&conversation, &question, &cancel, &mut |_| {})?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, Text::json(&analysis)?, "out") }
    })
}

/// As `emotion_llama_session_ask`, on a thread of its own: writes the stream of its events to `*out`, as `emotion_llama_analyze_stream` does.
///
/// Fails with `invalid_argument` or `out_of_memory`; what goes wrong later comes from `emotion_llama_stream_next`. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_session_ask`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_session_ask_stream(
    session: *const Session,
    request: *const c_char,
    cancel: *const Cancel,
    out: *mut *mut Stream,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (conversation, question, cancel) = unsafe { asked(session, request, cancel) }?;
        let stream = Stream::begin(&cancel, move |cancel, tell| ask(&conversation, &question, cancel, tell))?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, stream, "out") }
    })
}

/// Forgets the questions and answers and keeps the clip.
///
/// Fails with `overloaded` when a question is being answered. Since 0.1.
///
/// # Safety
/// `session` was not freed. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_session_reset(session: *const Session) -> *mut Status {
    boundary::status(|| {
        // SAFETY: as this function asks of its caller.
        let session = unsafe { pointer::handle(session, "session") }?;
        hold(&session.0)?.reset()
    })
}

/// Frees the handle; a question that is being answered is answered. NULL is allowed. Since 0.1.
///
/// # Safety
/// `session` is NULL, or a session that was not freed and that no call is being given.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_session_free(session: *mut Session) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(session) });
}

/// # Safety
/// As for [`emotion_llama_session_ask`].
unsafe fn asked(
    session: *const Session,
    request: *const c_char,
    cancel: *const Cancel,
) -> Result<(Arc<Mutex<Conversation>>, Question, CancelToken)> {
    // SAFETY: as this function asks of its caller.
    let (session, request, cancel) =
        unsafe { (pointer::handle(session, "session")?, pointer::text(request, "request")?, token(cancel)) };
    Ok((Arc::clone(&session.0), Question::from_json(request)?, cancel))
}

fn ask(
    conversation: &Mutex<Conversation>,
    question: &Question,
    cancel: &CancelToken,
    tell: &mut Tell<'_>,
) -> Result<Analysis> {
    hold(conversation)?.ask(question, cancel, &mut injected::at_stages(tell))
}

/// The conversation, unless it is busy.
fn hold(conversation: &Mutex<Conversation>) -> Result<MutexGuard<'_, Conversation>> {
    conversation.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::new(
            ErrorKind::Overloaded,
            "the session is answering another question; wait for it, or begin a second session",
        ),
        TryLockError::Poisoned(_) => {
            Error::internal("a defect ended an earlier question of this session; begin another session")
        }
    })
}
