//! Text that a call gives.

use std::ffi::{c_char, CString};

use serde::Serialize;

use emotion_llama_core::{Error, Result};

use crate::{boundary, pointer};

/// UTF-8 text that a call gave, JSON unless said otherwise. Immutable; may be read by several threads. Freed with
/// `emotion_llama_text_free`. Since 0.1.
pub struct Text(CString);

impl Text {
    /// `value` as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))?;
        // JSON writes NUL as an escape, so there is none.
        CString::new(json).map(Self).map_err(|error| Error::internal(error.to_string()))
    }
}

/// The text: NUL-terminated, without NUL inside, lives as long as `text`. NULL for NULL. Since 0.1.
///
/// # Safety
/// `text` is NULL or a text that was not freed.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_text_data(text: *const Text) -> *const c_char {
    // SAFETY: as this function asks of its caller.
    boundary::value(std::ptr::null(), || unsafe { text.as_ref() }.map_or(std::ptr::null(), |text| text.0.as_ptr()))
}

/// The bytes of the text, without the NUL at its end. 0 for NULL. Since 0.1.
///
/// # Safety
/// As for `emotion_llama_text_data`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_text_length(text: *const Text) -> usize {
    // SAFETY: as this function asks of its caller.
    boundary::value(0, || unsafe { text.as_ref() }.map_or(0, |text| text.0.as_bytes().len()))
}

/// Frees a text. NULL is allowed. Since 0.1.
///
/// # Safety
/// `text` is NULL, or a text that was not freed and that nobody reads any more.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_text_free(text: *mut Text) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(text) });
}
