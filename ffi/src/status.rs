//! Why a call failed.

use std::ffi::{c_char, CString};

use emotion_llama_core::Error;

use crate::{boundary, pointer};

/// Why a call failed: a number, a name and a sentence. Immutable; may be read by several threads. Freed with
/// `emotion_llama_status_free`.
pub struct Status {
    code: u32,
    name: CString,
    message: CString,
}

impl Status {
    /// On the heap, for the caller to free.
    pub(crate) fn new(error: Error) -> *mut Self {
        let text = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
        let status = Self { code: error.code(), name: text(error.name()), message: text(&error.message) };
        Box::into_raw(Box::new(status))
    }
}

/// The number of the failure, the same in every release: 1 invalid_argument, 2 media_undecodable, 3 media_too_large, 4 not_found,
/// 5 pack_invalid, 6 out_of_memory, 7 overloaded, 8 cancelled, 9 timeout, 10 internal. 0 for NULL, which is success. Since 0.1.
///
/// # Safety
/// `status` is NULL or a status that was not freed.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_status_code(status: *const Status) -> u32 {
    // SAFETY: as this function asks of its caller.
    boundary::value(10, || unsafe { status.as_ref() }.map_or(0, |status| status.code))
}

/// The name of the failure, for example `"not_found"`: NUL-terminated, lives as long as `status`. `"ok"` for NULL. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_status_code`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_status_name(status: *const Status) -> *const c_char {
    boundary::value(c"internal".as_ptr(), || {
        // SAFETY: as this function asks of its caller.
        unsafe { status.as_ref() }.map_or(c"ok".as_ptr(), |status| status.name.as_ptr())
    })
}

/// One sentence for a person: what happened, where, and what to do. UTF-8, NUL-terminated, lives as long as `status`. Empty for NULL.
/// Since 0.1.
///
/// # Safety
/// As for `emotion_llama_status_code`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_status_message(status: *const Status) -> *const c_char {
    // SAFETY: as this function asks of its caller.
    boundary::value(c"".as_ptr(), || unsafe { status.as_ref() }.map_or(c"".as_ptr(), |status| status.message.as_ptr()))
}

/// Frees a status. NULL is allowed. Since 0.1.
///
/// # Safety
/// `status` is NULL, or a status that was not freed and that nobody reads any more.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_status_free(status: *mut Status) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(status) });
}
