//! The C programs under ThreadSanitizer: what threads of a program share, and what the library hands from one to another.
//!
//! The inside of the library is not judged here. Rust's locks are futexes, which helgrind and DRD do not know: each stops at its bound of
//! 1,000 reports on a program that does nothing wrong. ThreadSanitizer knows them only if the standard library is built for it too. Without
//! that it reports thousands of races in an instrumented build (in rayon's own latches, first of all). Inside, the compiler's rules for
//! what threads may share hold, but for the `unsafe` blocks, which say why they are sound; `threads.c` and memcheck run them.

mod library;

use std::path::Path;
use std::process::Command;

use library::consumer::skipped;
use library::programs::{compile, programs_dir, run, succeed};
use library::small;

const GCC: [&str; 3] = ["gcc", "-fsanitize=thread", "-fno-omit-frame-pointer"];

/// Whether programs can be built and run with the sanitizer here; says so loudly where not.
fn available() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("empty.c"), dir.path().join("empty"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = Command::new(GCC[0]).args(&GCC[1..]).arg(&source).arg("-o").arg(&program).status();
    let works = built.is_ok_and(|status| status.success()) && Command::new(&program).status().unwrap().success();
    if !works {
        skipped("gcc cannot build programs with ThreadSanitizer on this machine");
    }
    works
}

/// `program` with the library's own accesses left out.
fn watched(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1");
    command
}

#[test]
fn programs_have_no_races() {
    if !available() {
        return;
    }
    let dir = programs_dir();
    let (pack, clip) = (small::pack(dir.path(), "pack"), small::video(dir.path()));
    for (name, more) in [("threads", ["8", "10"].as_slice()), ("lifetimes", &[]), ("cycles", &["20"])] {
        let program = compile(dir.path(), name, &GCC);
        succeed(dir.path(), watched(&program).arg(&pack).arg(&clip).args(more), &format!("races {name}"));
    }
}

/// A clean run means something only if this is found.
#[test]
fn a_race_is_found() {
    if !available() {
        return;
    }
    let dir = programs_dir();
    let program = compile(dir.path(), "wrong/race", &GCC);
    let run = run(dir.path(), watched(&program).arg(small::pack(dir.path(), "pack")), "races wrong/race");
    let reports = run.err.matches("WARNING: ThreadSanitizer: data race").count();
    assert!(run.code != Some(0) && reports == 1 && run.err.contains("race.c"), "{:?} {}", run.code, run.err);
}
