//! Where the library, its header and the test's inputs are.

#![allow(dead_code, reason = "every test program uses another part")]

pub mod programs;
pub mod small;

use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn include_dir() -> PathBuf {
    root().join("include")
}

/// The shared library that cargo built for this test.
pub fn shared_library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let deps = program.parent().unwrap();
    let newest = [deps, deps.parent().unwrap()]
        .into_iter()
        .map(|dir| dir.join("libemotionllama.so"))
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max();
    newest.expect("libemotionllama.so beside the test").1
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
