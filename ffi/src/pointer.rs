//! Pointers from C, checked and turned into Rust.

use std::ffi::{c_char, CStr};

use emotion_llama_core::{Error, Result};

/// What `pointer` points at.
///
/// # Safety
/// `pointer` is NULL or points at a `T` that lives and is not written to while the result is used.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: as this function asks of its caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// The text that `pointer` points at.
///
/// # Safety
/// `pointer` is NULL or points at bytes that end with NUL and live while the result is used.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a [u8]> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL; the rest is as this function asks of its caller.
    Ok(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// The `length` bytes that `pointer` points at; None for NULL with length 0.
///
/// # Safety
/// `pointer` is NULL or points at `length` bytes that live while the result is used.
pub(crate) unsafe fn bytes<'a>(pointer: *const u8, length: usize, name: &str) -> Result<Option<&'a [u8]>> {
    if pointer.is_null() {
        return if length == 0 { Ok(None) } else { Err(null(name)) };
    }
    if isize::try_from(length).is_err() {
        return Err(Error::invalid_argument(format!("{name} has {length} bytes, more than memory can hold")));
    }
    // SAFETY: not NULL and not longer than a slice may be; the rest is as this function asks of its caller.
    Ok(Some(unsafe { std::slice::from_raw_parts(pointer, length) }))
}

/// Puts `value` on the heap and its address where `out` points.
///
/// # Safety
/// `out` is NULL or points at a place that a pointer may be written to.
pub(crate) unsafe fn give<T>(out: *mut *mut T, value: T, name: &str) -> Result<()> {
    if out.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL; the rest is as this function asks of its caller.
    unsafe { out.write(Box::into_raw(Box::new(value))) };
    Ok(())
}

/// Checks that there is a place for a result, before work is done for it.
pub(crate) fn check_out<T>(out: *mut *mut T, name: &str) -> Result<()> {
    if out.is_null() {
        return Err(null(name));
    }
    Ok(())
}

/// Frees what [`give`] made.
///
/// # Safety
/// `pointer` is NULL, or came from [`give`] and was not freed before.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: it came from `Box::into_raw` and nobody owns it any more.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

fn null(name: &str) -> Error {
    Error::invalid_argument(format!("{name} is NULL"))
}
