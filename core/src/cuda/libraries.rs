//! NVIDIA's libraries, found at run time. What is linked are stand-ins (see `build.rs`): each function jumps to an address that is filled in here.

#![allow(unsafe_code, reason = "foreign functions are looked up by name")]

use std::ffi::{c_char, c_void, CStr};
use std::sync::OnceLock;

use libloading::Library;

include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// A function, and where its address belongs. As `build.rs` writes it in C.
#[repr(C)]
struct Function {
    name: *const c_char,
    at: *mut *mut c_void,
}

extern "C" {
    static emotion_llama_cuda_functions: [Function; CUDA];
    static emotion_llama_nvrtc_functions: [Function; NVRTC];
    static emotion_llama_curand_functions: [Function; CURAND];
    static emotion_llama_cublas_functions: [Function; CUBLAS];
    static emotion_llama_cublasLt_functions: [Function; CUBLASLT];
}

/// Loads the driver and the libraries that the models need, once in a process.
///
/// # Errors
/// Which one is not there, in a sentence.
pub fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let load_all = || {
        // SAFETY: the tables are constants of the archives that `build.rs` made, as long as it says.
        let libraries: [(&str, &[Function]); 4] = unsafe {
            [
                ("cuda", &emotion_llama_cuda_functions),
                ("curand", &emotion_llama_curand_functions),
                ("cublasLt", &emotion_llama_cublasLt_functions),
                ("cublas", &emotion_llama_cublas_functions),
            ]
        };
        // SAFETY: this runs once, before anything of CUDA is called.
        libraries.into_iter().try_for_each(|(name, functions)| unsafe { fill(name, functions) })
    };
    LOADED.get_or_init(load_all).clone()
}

/// Loads NVRTC, once in a process. It needs neither a driver nor a device.
///
/// # Errors
/// That it is not there, in a sentence.
pub fn load_compiler() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    // SAFETY: as in `load`; nothing of NVRTC is called but after this.
    LOADED.get_or_init(|| unsafe { fill("nvrtc", &emotion_llama_nvrtc_functions) }).clone()
}

/// Opens the library `name` and fills in where its functions are.
///
/// # Safety
/// Nobody calls one of `functions` before or meanwhile.
unsafe fn fill(name: &str, functions: &[Function]) -> Result<(), String> {
    let library = open(name)?;
    for function in functions {
        // SAFETY: `name` is a string constant, and nobody else writes the place or reads it yet. Whether the function takes what its name
        // promises is as certain as with a linker.
        unsafe {
            let name = CStr::from_ptr(function.name);
            match library.get::<*mut c_void>(name.to_bytes_with_nul()) {
                Ok(symbol) => *function.at = *symbol,
                // An older release has not all of them, and few are called: a call of this one says that it is not there.
                Err(_) => tracing::debug!(?name, "a function of CUDA is missing"),
            }
        }
    }
    // Its functions may be called until the process ends.
    std::mem::forget(library);
    Ok(())
}

/// A library by the names that it may have.
fn open(name: &str) -> Result<Library, String> {
    let candidates: Vec<String> = match name {
        "cuda" => vec!["libcuda.so.1".into(), "libcuda.so".into()],
        "curand" => vec!["libcurand.so.10".into(), "libcurand.so".into()],
        // What the calls were compiled for.
        _ => ["so.13", "so"].map(|end| format!("lib{name}.{end}")).to_vec(),
    };
    // SAFETY: these are NVIDIA's, whose initialisation asks nothing of the caller.
    let opened = candidates.iter().find_map(|candidate| unsafe { Library::new(candidate) }.ok());
    opened.ok_or_else(|| match name {
        "cuda" => "there is no NVIDIA driver on this machine (libcuda.so.1 was not found)".to_owned(),
        _ => format!("CUDA's library {} was not found; install the CUDA runtime libraries, release 13", candidates[0]),
    })
}
