//! What the fuzz targets share: a folder for the files that the readers open, and what a reader may answer.

pub mod checkpoint;
mod memory;
pub mod tokenizer;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use emotion_llama_core::{ErrorKind, Result};

/// A folder of this process, in the system's folder for temporary files. It is left behind: libFuzzer ends the process.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("emotion-llama-fuzz-{:07}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        folder
    })
}

/// The file `name` in [`folder`] with `content`, and zeros after it up to `length`. The zeros take no space.
pub fn file(name: &str, content: &[u8], length: u64) -> PathBuf {
    let path = folder().join(name);
    let mut file = File::create(&path).expect("a temporary file");
    file.write_all(content).expect("space for a temporary file");
    if length > content.len() as u64 {
        file.set_len(length).expect("space for a temporary file");
    }
    path
}

/// What a reader gave, if it gave anything. It may refuse any input, but never as a defect of this library.
#[track_caller]
pub fn settle<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            assert_ne!(error.kind, ErrorKind::Internal, "{error}");
            assert!(!error.message.is_empty(), "{:?} without a message", error.kind);
            None
        }
    }
}

/// The standard library seeds its hash maps with this. Fixed here, so that two runs take the same paths.
#[no_mangle]
extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: as libc's function of this name, which the callers take it for, it is given `length` writable bytes.
    unsafe { std::ptr::write_bytes(buffer, 0x5a, length) };
    length as isize
}
