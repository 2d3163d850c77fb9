//! The one place where panics end.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

use emotion_llama_core::{Error, Result};

use crate::status::Status;

/// Runs a call that can fail; NULL is success.
pub(crate) fn status(call: impl FnOnce() -> Result<()>) -> *mut Status {
    // What a panic may leave half done belongs to the call alone: handles share only immutable weights, atomics and channels.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(error)) => Status::new(error),
        Err(panic) => Status::new(defect(&*panic)),
    }
}

/// Runs a call that cannot fail; `otherwise` is its value after a panic.
pub(crate) fn value<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

/// The error that stands for a panic.
pub(crate) fn defect(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("a defect in libemotionllama: {}; please report it", text.unwrap_or("no message")))
}
