//! A panic at any entry, or in the work behind it, is the status `internal` or the function's neutral value, says nothing on standard
//! error, and leaves everything usable.

#[path = "../../tests/library/mod.rs"]
mod library;

use std::process::Command;

use library::programs::{compile, place_library, source, succeed};
use library::{include_dir, library_beside, small};

#[test]
fn a_panic_at_every_entry_is_contained() {
    let dir = tempfile::tempdir().unwrap();
    place_library(dir.path(), &library_beside("libemotionllama_injected.so"));
    let program = compile(dir.path(), "panics", &["cc"]);
    let mut command = Command::new(program);
    command.arg(small::pack(dir.path(), "pack")).arg(small::video(dir.path()));
    let out = succeed(dir.path(), &mut command, "panics");

    let text = std::fs::read_to_string(source("panics.c")).unwrap();
    let header = std::fs::read_to_string(include_dir().join("emotion_llama.h")).unwrap();
    let functions = library::declared_functions(&header);
    assert!(functions.len() >= 28, "{functions:?}");
    for name in functions {
        assert!(text.contains(&format!("(\"{name}\"")), "{name} is not made to panic");
        assert!(out.contains(&format!("{name}: contained\n")), "{name}: {out}");
    }
}

/// The library that is shipped has no such panics.
#[test]
fn the_shipped_library_knows_no_injected_panics() {
    let has = |library: &str| {
        let bytes = std::fs::read(library_beside(library)).unwrap();
        let name = b"EMOTION_LLAMA_PANIC_AT";
        bytes.windows(name.len()).any(|window| window == name)
    };
    assert!(has("libemotionllama_injected.so"));
    assert!(!has("libemotionllama.so"));
}
