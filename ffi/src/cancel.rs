//! Cancel tokens.

use emotion_llama_core::CancelToken;

use crate::status::Status;
use crate::{boundary, pointer};

/// A flag that stops running work from another thread. Counts its references: work that was given a token keeps it alive. Freed
/// with `emotion_llama_cancel_free`. Since 0.1.
pub struct Cancel(pub(crate) CancelToken);

/// Makes a token that is not cancelled and writes it to `*out`. Since 0.1.
///
/// # Safety
/// `out` points at a place for a pointer. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_cancel_new(out: *mut *mut Cancel) -> *mut Status {
    // SAFETY: as this function asks of its caller.
    boundary::status(|| unsafe { pointer::give(out, Cancel(CancelToken::new()), "out") })
}

/// Asks all work that was given `cancel` to stop: it returns `cancelled`, within about 100 ms. Cannot be undone; may be called from
/// any thread, and again. Does nothing for NULL. Since 0.1.
///
/// # Safety
/// `cancel` is NULL or a token that was not freed.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_cancel_request(cancel: *const Cancel) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { cancel.as_ref() }.into_iter().for_each(|cancel| cancel.0.cancel()));
}

/// Whether `emotion_llama_cancel_request` was called. False for NULL. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_cancel_request`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_cancel_requested(cancel: *const Cancel) -> bool {
    // SAFETY: as this function asks of its caller.
    boundary::value(false, || unsafe { cancel.as_ref() }.is_some_and(|cancel| cancel.0.is_cancelled()))
}

/// Frees a token; work that was given it goes on. NULL is allowed. Since 0.1.
///
/// # Safety
/// `cancel` is NULL, or a token that was not freed and that no call is being given.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_cancel_free(cancel: *mut Cancel) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(cancel) });
}

/// A clone of the token, or a new one for NULL.
///
/// # Safety
/// `cancel` is NULL or a token that was not freed.
pub(crate) unsafe fn token(cancel: *const Cancel) -> CancelToken {
    // SAFETY: as this function asks of its caller.
    unsafe { cancel.as_ref() }.map(|cancel| cancel.0.clone()).unwrap_or_default()
}
