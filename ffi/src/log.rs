//! The log hook.

use std::cell::Cell;
use std::ffi::{c_char, c_void, CString};
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use emotion_llama_core::{Error, Result};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::boundary;
use crate::status::Status;

/// A level of the log: something failed, although no call may have. Since 0.1.
pub const EMOTION_LLAMA_LOG_ERROR: u32 = 1;
/// A level of the log: something is not as it should be. Since 0.1.
pub const EMOTION_LLAMA_LOG_WARN: u32 = 2;
/// A level of the log: what happens, in broad strokes. Since 0.1.
pub const EMOTION_LLAMA_LOG_INFO: u32 = 3;
/// A level of the log: what happens, for those who look for a mistake. Since 0.1.
pub const EMOTION_LLAMA_LOG_DEBUG: u32 = 4;
/// A level of the log: everything. Since 0.1.
pub const EMOTION_LLAMA_LOG_TRACE: u32 = 5;

/// Takes one message of the log: its level (`EMOTION_LLAMA_LOG_…`), the part of the library that it comes from, and the text. Both strings
/// are UTF-8, NUL-terminated, and live until the function returns. It is called from any thread, from several at once. It must not
/// throw. What it calls in this library is not logged. Since 0.1.
pub type LogFunction =
    Option<unsafe extern "C" fn(userdata: *mut c_void, level: u32, target: *const c_char, message: *const c_char)>;

struct Hook {
    function: LogFunction,
    userdata: *mut c_void,
}

// SAFETY: the pointer is only handed to the function, which its giver says may be called from any thread.
unsafe impl Send for Hook {}
// SAFETY: as above.
unsafe impl Sync for Hook {}

/// Read while the function runs, so that setting another one waits for it.
static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

/// The highest level that is wanted; 0 for none.
static LEVEL: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Whether this thread is in the hook's function.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Sends what the library logs to `function`, up to `level`; NULL turns the log off, as it is in the beginning. For the whole process: there
/// is one hook. Once this returns, the function that was set before is not called any more. `userdata` is handed to the function as it is.
///
/// No message holds media, transcripts or answers. Fails with `invalid_argument` for a level that is not one of `EMOTION_LLAMA_LOG_…`, and
/// when called from the hook's function. Since 0.1.
///
/// # Safety
/// `function` may be called, with `userdata`, from any thread until another one is set.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_set_log(
    function: LogFunction,
    userdata: *mut c_void,
    level: u32,
) -> *mut Status {
    boundary::status(|| {
        if INSIDE.get() {
            return Err(Error::invalid_argument("the log function cannot set the log function; do it from elsewhere"));
        }
        let level = if function.is_some() { level } else { 0 };
        if function.is_some() && !(EMOTION_LLAMA_LOG_ERROR..=EMOTION_LLAMA_LOG_TRACE).contains(&level) {
            return Err(Error::invalid_argument(format!(
                "there is no log level {level}; give 1 (errors) to 5 (everything)"
            )));
        }
        install()?;
        *HOOK.write().unwrap_or_else(PoisonError::into_inner) =
            function.is_some().then_some(Hook { function, userdata });
        LEVEL.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

/// Makes this library's messages go through [`HOOK`], once.
fn install() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    match DONE.get_or_init(|| tracing::subscriber::set_global_default(Forward).is_ok()) {
        true => Ok(()),
        false => Err(Error::invalid_argument("this program's own Rust code takes the library's log already")),
    }
}

/// Hands every event to the hook.
struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates' messages may hold what is private.
        metadata.target().starts_with("emotion") && number(metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if INSIDE.get() {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let c_string = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
        let (target, message) = (c_string(event.metadata().target()), c_string(&line.0));
        let hook = HOOK.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Hook { function: Some(function), userdata }) = *hook else { return };
        INSIDE.set(true);
        // SAFETY: the giver says that it may be called so; the lock keeps it set until it returns.
        unsafe { function(userdata, number(event.metadata().level()), target.as_ptr(), message.as_ptr()) };
        INSIDE.set(false);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn number(level: &Level) -> u32 {
    match *level {
        Level::ERROR => EMOTION_LLAMA_LOG_ERROR,
        Level::WARN => EMOTION_LLAMA_LOG_WARN,
        Level::INFO => EMOTION_LLAMA_LOG_INFO,
        Level::DEBUG => EMOTION_LLAMA_LOG_DEBUG,
        Level::TRACE => EMOTION_LLAMA_LOG_TRACE,
    }
}

/// An event as one line: the message, then the fields.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}
