//! The C programs built with the address, leak and undefined-behaviour sanitizers. The library is the one that is shipped: its
//! allocations are malloc's, so what a program loses or reads too late is seen, whoever allocated it.

mod library;

use std::process::Command;

use library::consumer::skipped;
use library::programs::{compile, programs_dir, run, succeed};
use library::{shared_library, small};

/// gcc brings its sanitizers; clang's are a package of their own.
const GCC: [&str; 4] = ["gcc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

/// Whether programs can be built and run with the sanitizers here; says so loudly where not.
fn available() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("empty.c"), dir.path().join("empty"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = Command::new(GCC[0]).args(&GCC[1..]).arg(&source).arg("-o").arg(&program).status();
    let works = built.is_ok_and(|status| status.success()) && Command::new(&program).status().unwrap().success();
    if !works {
        skipped("gcc cannot build programs with sanitizers on this machine");
    }
    works
}

#[test]
fn programs_are_clean() {
    if !available() {
        return;
    }
    let dir = programs_dir();
    let (pack, clip) = (small::pack(dir.path(), "pack"), small::video(dir.path()));
    let (library, broken) = (shared_library(), small::broken_pack(dir.path()));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (library, broken) = (path(&library), path(&broken));
    succeed(dir.path(), &mut Command::new(compile(dir.path(), "remote", &GCC)), "sanitized remote");
    for (name, before, after) in [
        ("nulls", vec![], vec![]),
        ("errors", vec![], vec![&*broken]),
        ("lifetimes", vec![], vec![]),
        ("threads", vec![], vec!["8", "20"]),
        ("cycles", vec![], vec!["1000"]),
        ("dlopen_consumer", vec![&*library], vec!["10"]),
    ] {
        let mut command = Command::new(compile(dir.path(), name, &GCC));
        command.args(before).arg(&pack).arg(&clip).args(after);
        succeed(dir.path(), &mut command, &format!("sanitized {name}"));
    }
}

/// A clean run means something only if these are found.
#[test]
fn what_is_wrong_is_found() {
    if !available() {
        return;
    }
    let dir = programs_dir();
    let pack = small::pack(dir.path(), "pack");
    for (name, message) in [
        ("leak", "LeakSanitizer: detected memory leaks"),
        ("use_after_free", "heap-use-after-free"),
        ("undefined", "signed integer overflow"),
    ] {
        let program = compile(dir.path(), &format!("wrong/{name}"), &GCC);
        let run = run(dir.path(), Command::new(program).arg(&pack), &format!("sanitized wrong/{name}"));
        assert!(run.code != Some(0) && run.err.contains(message), "{name}: {:?} {}", run.code, run.err);
    }
}
