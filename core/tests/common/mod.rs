//! What the tests of the whole engine share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::PathBuf;
use std::sync::OnceLock;

use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::pack::PackRef;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The built mini pack; `EMOTION_LLAMA_PACK` overrides the place where `make pack` puts it.
pub fn pack_dir() -> PathBuf {
    let dir = std::env::var_os("EMOTION_LLAMA_PACK")
        .map_or_else(|| root().join("build/packs/emotion-llama-mini"), PathBuf::from);
    assert!(dir.join("pack.json").is_file(), "no pack in {}; run `make pack` first", dir.display());
    dir
}

/// The engine with the mini pack, loaded once a test program.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        Engine::open(&PackRef::Dir(pack_dir()), &EngineOptions::default()).expect("the mini pack opens")
    })
}

/// One of the six CREMA-D clips by its three-letter code.
pub fn clip(code: &str) -> PathBuf {
    let path = root().join(format!("build/clips/1001_DFA_{code}_XX.flv"));
    assert!(path.is_file(), "{} is missing; run `make clips` first", path.display());
    path
}
