//! C programs of `tests/c`: compiled, and run with the built library, alone or under a tool.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::consumer::say;
use super::{include_dir, root, shared_library};

/// A copy of `library` in `dir` under the names that programs are linked with and look for.
pub fn place_library(dir: &Path, library: &Path) {
    std::fs::copy(library, dir.join("libemotionllama.so.1")).unwrap();
    std::os::unix::fs::symlink("libemotionllama.so.1", dir.join("libemotionllama.so")).unwrap();
}

/// A directory with the built library, for programs.
pub fn programs_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    place_library(dir.path(), &shared_library());
    dir
}

pub fn source(name: &str) -> PathBuf {
    root().join("ffi/tests/c").join(name)
}

/// Compiles `tests/c/NAME.c` in `dir` with `compiler` (a program and its options) and links it with the library there.
pub fn compile(dir: &Path, name: &str, compiler: &[&str]) -> PathBuf {
    let program = dir.join(Path::new(name).file_name().unwrap());
    let output = Command::new(compiler[0])
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-I"])
        .arg(include_dir())
        .args(&compiler[1..])
        .arg(source(&format!("{name}.c")))
        .arg("-L")
        .arg(dir)
        .args(["-lemotionllama", "-lpthread", "-ldl", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// What a program did.
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `command` (a program, or a tool and then a program) with the library in `dir`, and prints how long it took.
pub fn run(dir: &Path, command: &mut Command, what: &str) -> Run {
    let began = Instant::now();
    let output = command.env("LD_LIBRARY_PATH", dir).output().unwrap();
    say(&format!("{what}: {:.1} s, {}", began.elapsed().as_secs_f64(), output.status));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// As [`run`]; the program must end well and the library must have printed nothing.
pub fn succeed(dir: &Path, command: &mut Command, what: &str) -> String {
    let Run { code, out, err } = run(dir, command, what);
    assert!(code == Some(0), "{what}: {out}{err}");
    assert!(err.is_empty(), "{what}: something printed: {err}");
    if !out.is_empty() {
        say(out.trim_end());
    }
    out
}
