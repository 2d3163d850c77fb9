//! The C programs under valgrind's memcheck: no wrong access, nothing lost, in the programs and in the library.

mod library;

use std::path::Path;
use std::process::Command;

use library::consumer::has;
use library::programs::{compile, programs_dir, run, succeed};
use library::{shared_library, small};

/// The exit code of a program with errors.
const FOUND: i32 = 99;
/// How many cycles; a thousand take some minutes under valgrind, and `host.rs` runs them without.
const CYCLES: &str = "EMOTION_LLAMA_CYCLES";

fn memcheck(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect"]);
    command.args(["--errors-for-leak-kinds=definite,indirect", &format!("--error-exitcode={FOUND}")]);
    command.arg(program);
    command
}

fn clean(name: &str, more: &[&str]) {
    if !has("valgrind") {
        return;
    }
    let dir = programs_dir();
    let mut command = memcheck(&compile(dir.path(), name, &["cc"]));
    if name == "dlopen_consumer" {
        command.arg(shared_library());
    }
    command.arg(small::pack(dir.path(), "pack")).arg(small::video(dir.path()));
    if name == "errors" {
        command.arg(small::broken_pack(dir.path()));
    }
    succeed(dir.path(), command.args(more), &format!("memcheck {name}"));
}

#[test]
fn nulls_are_clean() {
    clean("nulls", &[]);
}

#[test]
fn errors_are_clean() {
    clean("errors", &[]);
}

#[test]
fn servers_that_fail_are_clean() {
    if has("valgrind") {
        let dir = programs_dir();
        succeed(dir.path(), &mut memcheck(&compile(dir.path(), "remote", &["cc"])), "memcheck remote");
    }
}

#[test]
fn lifetimes_are_clean() {
    clean("lifetimes", &[]);
}

#[test]
fn threads_are_clean() {
    clean("threads", &["4", "3"]);
}

#[test]
fn cycles_are_clean() {
    clean("cycles", &[&std::env::var(CYCLES).unwrap_or("250".into())]);
}

#[test]
fn loading_and_closing_is_clean() {
    clean("dlopen_consumer", &["10"]);
}

/// A clean run means something only if these are found.
#[test]
fn what_is_wrong_is_found() {
    if !has("valgrind") {
        return;
    }
    let dir = programs_dir();
    let pack = small::pack(dir.path(), "pack");
    for (name, message) in [("leak", "definitely lost"), ("use_after_free", "Invalid read")] {
        let program = compile(dir.path(), &format!("wrong/{name}"), &["cc"]);
        let run = run(dir.path(), memcheck(&program).arg(&pack), &format!("memcheck wrong/{name}"));
        assert!(run.code == Some(FOUND) && run.err.contains(message), "{name}: {:?} {}", run.code, run.err);
    }
}
