//! Pointers from C, checked and turned into Rust.

use std::ffi::{c_char, CStr};
use std::mem::{size_of, MaybeUninit};

use emotion_llama_core::{Error, Result};

/// Beyond this, the `size` of a struct is taken for a mistake.
const MAX_STRUCT: usize = 4096;

/// A struct that crosses the boundary: it begins with its own size, and grows only at its end.
///
/// # Safety
/// `repr(C)`; the first field is a `usize`; every pattern of bits is a value, zeros everywhere among them.
pub(crate) unsafe trait Versioned: Copy {
    /// The size in the first release of the library that had the struct.
    const FIRST_SIZE: usize;
}

/// A copy of the struct at `pointer`, as much of it as the caller knows; the rest is zeros.
///
/// # Safety
/// `pointer` is NULL or points at a struct whose first field is its size.
pub(crate) unsafe fn versioned<T: Versioned>(pointer: *const T, name: &str) -> Result<T> {
    if pointer.is_null() {
        return Err(null(name));
    }
    let from = pointer.cast::<u8>();
    // SAFETY: not NULL, and the first field is a `usize`, as `T` says.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    if !(T::FIRST_SIZE..=MAX_STRUCT).contains(&size) {
        return Err(Error::invalid_argument(format!(
            "the size of {name} is {size}; set it to sizeof, which is {} here",
            size_of::<T>()
        )));
    }
    // SAFETY: the caller's struct has `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from, size) };
    if bytes.iter().skip(size_of::<T>()).any(|byte| *byte != 0) {
        return Err(Error::invalid_argument(format!(
            "{name} has {size} bytes and sets fields that this library does not know; it knows {}",
            size_of::<T>()
        )));
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: at most the bytes of both; zeros and whatever bits the caller gave are a value of `T`, as it says.
    unsafe {
        std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr().cast(), size.min(size_of::<T>()));
        Ok(copy.assume_init())
    }
}

/// Refuses a reserved field that is set, so that it can be given a meaning later.
pub(crate) fn check_reserved(reserved: u32, name: &str) -> Result<()> {
    match reserved {
        0 => Ok(()),
        other => Err(Error::invalid_argument(format!("reserved of {name} is {other}; set it to 0"))),
    }
}

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

/// Calls `take` with the `count` numbers at `data`, which need not be aligned; they are copied only where they are not. `decode` makes a
/// number of its bytes.
///
/// # Safety
/// `data` is NULL or points at `count` numbers that live during the call; every pattern of `N` bits is a `T`, which has `N` bytes.
pub(crate) unsafe fn numbers<T, const N: usize>(
    data: *const u8,
    count: usize,
    decode: impl Fn([u8; N]) -> T,
    take: impl FnOnce(&[T]) -> Result<()>,
) -> Result<()> {
    let length = count.saturating_mul(N);
    // SAFETY: as this function asks of its caller.
    let bytes = unsafe { bytes(data, length, "the samples' data") }?.unwrap_or_default();
    // SAFETY: every pattern of bits is a `T`; `align_to` leaves what is not aligned at both ends.
    match unsafe { bytes.align_to::<T>() } {
        ([], numbers, []) => take(numbers),
        _ => take(&bytes.chunks_exact(N).filter_map(|chunk| Some(decode(chunk.try_into().ok()?))).collect::<Vec<_>>()),
    }
}

/// The options that `text` spells.
pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::invalid_argument("the options are no JSON object; write {…}"));
    }
    serde_json::from_slice(text)
        .map_err(|error| Error::invalid_argument(format!("the options are not what is expected: {error}")))
}

/// Puts `value` on the heap and its address where `out` points.
///
/// # Safety
/// `out` is NULL or points at a place that a pointer may be written to.
pub(crate) unsafe fn give<T>(out: *mut *mut T, value: T, name: &str) -> Result<()> {
    check_out(out, name)?;
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

pub(crate) fn null(name: &str) -> Error {
    Error::invalid_argument(format!("{name} is NULL"))
}
