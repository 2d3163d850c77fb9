//! Why a call failed.

use std::ffi::{c_char, CString};

use emotion_llama_core::Error;

use crate::{boundary, pointer};

/// A status code: an option or argument has a value that cannot be used. Since 0.1.
pub const EMOTION_LLAMA_INVALID_ARGUMENT: u32 = 1;
/// A status code: the input is not media that can be decoded. Since 0.1.
pub const EMOTION_LLAMA_MEDIA_UNDECODABLE: u32 = 2;
/// A status code: the input goes beyond a limit. Since 0.1.
pub const EMOTION_LLAMA_MEDIA_TOO_LARGE: u32 = 3;
/// A status code: a file or pack that was named is not there. Since 0.1.
pub const EMOTION_LLAMA_NOT_FOUND: u32 = 4;
/// A status code: a pack is there but cannot be used. Since 0.1.
pub const EMOTION_LLAMA_PACK_INVALID: u32 = 5;
/// A status code: memory or threads ran out. Since 0.1.
pub const EMOTION_LLAMA_OUT_OF_MEMORY: u32 = 6;
/// A status code: too much is already running; try again. Since 0.1.
pub const EMOTION_LLAMA_OVERLOADED: u32 = 7;
/// A status code: the caller cancelled the work. Since 0.1.
pub const EMOTION_LLAMA_CANCELLED: u32 = 8;
/// A status code: the work took longer than the caller allowed. Since 0.1.
pub const EMOTION_LLAMA_TIMEOUT: u32 = 9;
/// A status code: a defect in the library. Since 0.1.
pub const EMOTION_LLAMA_INTERNAL: u32 = 10;
/// A status code: a server cannot be reached, or is none. Since 0.1.
pub const EMOTION_LLAMA_UNREACHABLE: u32 = 11;

/// Why a call failed: a number, a name and a sentence. Immutable; may be read by several threads. Freed with
/// `emotion_llama_status_free`. Since 0.1.
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

/// The number of the failure, the same in every release: `EMOTION_LLAMA_INVALID_ARGUMENT` and so on. Later releases may have more. 0 for
/// NULL, which is success. Since 0.1.
///
/// # Safety
/// `status` is NULL or a status that was not freed.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_status_code(status: *const Status) -> u32 {
    // SAFETY: as this function asks of its caller.
    boundary::value(EMOTION_LLAMA_INTERNAL, || unsafe { status.as_ref() }.map_or(0, |status| status.code))
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
