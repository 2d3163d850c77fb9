//! The one place where panics end.

use std::any::{type_name_of_val, Any};
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::Once;

use emotion_llama_core::{Error, Result};

use crate::injected;
use crate::status::Status;

/// Runs a call that can fail; NULL is success.
pub(crate) fn status(call: impl FnOnce() -> Result<()>) -> *mut Status {
    match caught(call) {
        Ok(()) => std::ptr::null_mut(),
        Err(error) => Status::new(error),
    }
}

/// Runs a call that cannot fail; `otherwise` is its value after a panic.
pub(crate) fn value<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    caught(|| Ok(call())).unwrap_or(otherwise)
}

/// Runs `work`; a panic in it is the error `internal`.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    hush();
    // What a panic may leave half done belongs to the call alone: handles share only immutable weights, atomics and channels, and a
    // lock that a panic poisoned is taken as it is by those whose state is whole after each step.
    let work = AssertUnwindSafe(|| {
        injected::panic_at(type_name_of_val(&work));
        work()
    });
    catch_unwind(work).unwrap_or_else(|panic| Err(defect(&*panic)))
}

fn defect(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("a defect in libemotionllama: {}; please report it", text.unwrap_or("no message")))
}

/// Panics go to the log hook, not to the host's standard error. This is the library's own copy of the standard library, so no other
/// Rust code of the process is touched.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_hook(Box::new(|info| tracing::error!("{info}"))));
}
