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

/// Loads the driver and the libraries, once in a process.
///
/// # Errors
/// Which one is not there, in a sentence.
pub fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_all).clone()
}

fn load_all() -> Result<(), String> {
    // SAFETY: the tables are constants of the archives that `build.rs` made, as long as it says.
    let libraries: [(&str, &[Function]); 5] = unsafe {
        [
            ("cuda", &emotion_llama_cuda_functions),
            ("nvrtc", &emotion_llama_nvrtc_functions),
            ("curand", &emotion_llama_curand_functions),
            ("cublasLt", &emotion_llama_cublasLt_functions),
            ("cublas", &emotion_llama_cublas_functions),
        ]
    };
    for (name, functions) in libraries {
        let library = open(name)?;
        for function in functions {
            // SAFETY: `name` is a string constant. Nobody else writes the place or reads it yet: this runs once, before anything of CUDA is called.
            // Whether the function takes what its name promises is as certain as with a linker.
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
    }
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
