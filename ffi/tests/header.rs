//! The committed header is what the code says, and what C and C++ compilers take.

mod library;

use std::path::{Path, PathBuf};
use std::process::Command;

use library::{include_dir, shared_library};

/// Set to write the header instead of comparing it.
const BLESS: &str = "EMOTION_LLAMA_BLESS";

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    // Every file by name: the crate is not expanded and no other crate is looked at.
    let mut sources: Vec<PathBuf> =
        std::fs::read_dir(crate_dir.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    let builder =
        sources.iter().fold(cbindgen::Builder::new().with_config(config), |builder, path| builder.with_src(path));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    // What rustdoc calls safety is the caller's part of the contract.
    String::from_utf8(header).unwrap().replace(" # Safety\n", " The caller sees to it that:\n")
}

#[test]
fn the_header_is_what_the_code_says() {
    let path = include_dir().join("emotion_llama.h");
    let generated = generated();
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "include/emotion_llama.h has drifted from ffi/src; run the test with {BLESS}=1 and look at the difference"
    );
}

#[test]
fn compilers_take_the_header_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"];
    let mut tried = 0;
    for (compiler, standard, file) in [
        ("gcc", "-std=c99", "header.c"),
        ("g++", "-std=c++11", "header.cpp"),
        ("clang", "-std=c99", "header.c"),
        ("clang++", "-std=c++11", "header.cpp"),
    ] {
        let source = dir.path().join(file);
        std::fs::write(
            &source,
            "#include <emotion_llama.h>\n#include <emotion_llama.h>\nint main(void) { return 0; }\n",
        )
        .unwrap();
        let run = Command::new(compiler).args(strict).arg(standard).arg("-I").arg(include_dir()).arg(&source).output();
        let Ok(output) = run else { continue };
        assert!(output.status.success(), "{compiler} {standard}: {}", String::from_utf8_lossy(&output.stderr));
        tried += 1;
    }
    assert!(tried >= 2, "neither gcc nor clang was found");
}

#[test]
fn only_the_librarys_own_functions_are_exported_and_all_are_declared() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(shared_library()).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let exported: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(exported.len() >= 15, "{exported:?}");
    let header = generated();
    for name in exported {
        assert!(name.starts_with("emotion_llama_"), "{name} is exported");
        assert!(header.contains(&format!("{name}(")), "{name} is not declared");
    }
}

/// Each exported function's body is one call of the boundary, so that no panic leaves it.
#[test]
fn every_function_passes_the_panic_boundary() {
    let mut found = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for function in text.split("#[no_mangle]").skip(1) {
            let body = function.split_once("{\n").expect("a body").1;
            let first = body
                .lines()
                .map(str::trim)
                .find(|line| !line.starts_with("//") && !line.starts_with("const "))
                .unwrap();
            assert!(first.starts_with("boundary::"), "{}: {first}", path.display());
            found += 1;
        }
    }
    assert!(found >= 15, "{found} functions");
}
