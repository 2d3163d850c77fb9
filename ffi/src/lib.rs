//! The C ABI: opaque handles, JSON in and out, a status for each call that can fail.
//!
//! Every exported function goes through [`boundary`], which turns a panic into the status `internal`. What a pointer must be is
//! said where it is taken; NULL is checked, the rest is the caller's part of the contract.

#![allow(unsafe_code, reason = "this crate is the boundary to C")]

mod boundary;
mod cancel;
mod engine;
mod injected;
mod live;
mod log;
mod media;
mod pointer;
mod session;
mod status;
mod stream;
mod text;

pub use cancel::*;
pub use engine::*;
pub use live::*;
pub use log::*;
pub use media::*;
pub use session::*;
pub use status::*;
pub use stream::*;
pub use text::*;

/// The number of this ABI. It grows when a function or a type changes in a way that programs built before would notice; the
/// SONAME ends with it. Since 0.1.
pub const EMOTION_LLAMA_ABI_VERSION: u32 = 1;

/// The ABI number of the library that was loaded; compare it with `EMOTION_LLAMA_ABI_VERSION`. Never fails. Since 0.1.
#[no_mangle]
pub extern "C" fn emotion_llama_abi_version() -> u32 {
    boundary::value(0, || EMOTION_LLAMA_ABI_VERSION)
}

/// The version of the library, for example `"0.1.0"`: static, NUL-terminated, not to be freed. Never NULL. Since 0.1.
#[no_mangle]
pub extern "C" fn emotion_llama_version() -> *const std::ffi::c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    boundary::value(c"".as_ptr(), || VERSION.as_ptr().cast())
}
