//! Where the library, its header and the test's inputs are.

#![allow(dead_code, reason = "every test program uses another part")]

pub mod consumer;
pub mod programs;
pub mod small;

use std::path::{Path, PathBuf};

/// The repository; `ffi/injected` uses these modules too.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|dir| dir.join("Cargo.lock").is_file()).unwrap().to_owned()
}

pub fn include_dir() -> PathBuf {
    root().join("include")
}

/// The shared library that cargo built for this test.
pub fn shared_library() -> PathBuf {
    library_beside("libemotionllama.so")
}

/// The static library that cargo built for this test.
pub fn static_library() -> PathBuf {
    library_beside("libemotionllama.a")
}

/// The library `name` that cargo built.
pub fn library_beside(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let deps = program.parent().unwrap();
    let newest = [deps, deps.parent().unwrap()]
        .into_iter()
        .map(|dir| dir.join(name))
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max();
    newest.unwrap_or_else(|| panic!("no {name} beside the test")).1
}

/// The built pack; `make pack` builds it.
pub fn pack_dir() -> PathBuf {
    let pack = std::env::var_os("EMOTION_LLAMA_PACK")
        .map_or_else(|| root().join("build/packs/emotion-llama-mini"), PathBuf::from);
    assert!(pack.join("pack.json").is_file(), "no pack in {}; run `make pack`", pack.display());
    pack
}

/// A real clip; `make clips` fetches it.
pub fn clip() -> PathBuf {
    let clip = root().join("build/clips/1001_DFA_ANG_XX.flv");
    assert!(clip.is_file(), "no clip at {}; run `make clips`", clip.display());
    clip
}

/// The functions that `header` declares.
pub fn declared_functions(header: &str) -> Vec<String> {
    let words = header.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut names: Vec<String> = words
        .filter(|word| word.starts_with("emotion_llama_"))
        .filter(|word| [" ", "*"].iter().any(|before| header.contains(&format!("{before}{word}("))))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
