//! A C program that uses every function, compiled against the committed header and run with the built library.

mod library;

use std::path::{Path, PathBuf};
use std::process::Command;

use library::{clip, include_dir, pack_dir, shared_library};

/// Compiles `tests/c/NAME.c` and links it with a copy of the library under its SONAME.
fn compiled(dir: &Path, name: &str) -> PathBuf {
    std::fs::copy(shared_library(), dir.join("libemotionllama.so.1")).unwrap();
    std::os::unix::fs::symlink("libemotionllama.so.1", dir.join("libemotionllama.so")).unwrap();
    let program = dir.join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(format!("{name}.c"));
    let output = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g"])
        .arg("-I")
        .arg(include_dir())
        .arg(&source)
        .arg("-L")
        .arg(dir)
        .args(["-lemotionllama", "-lpthread", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn a_c_program_uses_every_function() {
    let dir = tempfile::tempdir().unwrap();
    let program = compiled(dir.path(), "every_function");
    let output = Command::new(program).arg(pack_dir()).arg(clip()).env("LD_LIBRARY_PATH", dir.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{out}");
    assert!(output.status.success(), "{out}{err}");
    assert!(err.is_empty(), "the library printed: {err}");

    let source =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/every_function.c")).unwrap();
    let header = std::fs::read_to_string(include_dir().join("emotion_llama.h")).unwrap();
    let declared =
        header.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with("emotion_llama_"));
    for name in declared.filter(|name| header.contains(&format!("{name}("))) {
        assert!(source.contains(&format!("{name}(")), "{name} is not used");
    }
}
