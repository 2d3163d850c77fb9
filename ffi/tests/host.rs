//! The library does not hurt its host: programs that misuse, interrupt and share it, run as they are.
//!
//! `memcheck.rs`, `sanitizers.rs` and `races.rs` run the same programs under tools.

mod library;

use std::path::Path;
use std::process::Command;

use library::programs::{compile, programs_dir, succeed};
use library::{clip, pack_dir, shared_library, small};

#[test]
fn null_in_every_pointer_is_told() {
    let dir = programs_dir();
    let program = compile(dir.path(), "nulls", &["cc"]);
    succeed(
        dir.path(),
        Command::new(program).arg(small::pack(dir.path(), "pack")).arg(small::sound(dir.path())),
        "nulls",
    );
}

#[test]
fn every_code_is_given() {
    let dir = programs_dir();
    let program = compile(dir.path(), "errors", &["cc"]);
    let mut command = Command::new(program);
    command.arg(small::pack(dir.path(), "pack")).arg(small::video(dir.path())).arg(small::broken_pack(dir.path()));
    let out = succeed(dir.path(), &mut command, "errors");
    for code in 1..=8 {
        assert!(out.contains(&format!(" {code} (")), "code {code} was not seen: {out}");
    }
}

#[test]
fn servers_that_fail_are_told_apart() {
    let dir = programs_dir();
    let program = compile(dir.path(), "remote", &["cc"]);
    let out = succeed(dir.path(), &mut Command::new(program), "remote");
    for code in [7, 8, 9, 11] {
        assert!(out.contains(&format!(" {code} (")), "code {code} was not seen: {out}");
    }
}

#[test]
fn handles_may_be_freed_before_what_came_of_them() {
    let dir = programs_dir();
    let program = compile(dir.path(), "lifetimes", &["cc"]);
    let (pack, clip) = (small::pack(dir.path(), "pack"), small::video(dir.path()));
    succeed(dir.path(), Command::new(&program).arg(pack).arg(clip), "lifetimes, least pack");
    succeed(dir.path(), Command::new(&program).arg(pack_dir()).arg(self::clip()), "lifetimes, built pack");
}

#[test]
fn threads_share_one_engine() {
    let dir = programs_dir();
    let program = compile(dir.path(), "threads", &["cc"]);
    let small = (small::pack(dir.path(), "pack"), small::video(dir.path()));
    for (pack, clip, threads, rounds) in [(&small.0, &small.1, "8", "50"), (&pack_dir(), &clip(), "2", "1")] {
        let mut command = Command::new(&program);
        succeed(dir.path(), command.arg(pack).arg(clip).args([threads, rounds]), "threads");
    }
}

/// The figures are printed, not held against a bound: they are this machine's.
#[test]
fn every_stage_can_be_cancelled() {
    let dir = programs_dir();
    let program = compile(dir.path(), "cancel", &["cc"]);
    let out = succeed(dir.path(), Command::new(program).arg(pack_dir()).arg(clip()).arg("5"), "cancel");
    for stage in ["decode", "observe", "prefill", "score", "generate", "a call"] {
        assert!(out.contains(stage), "{stage}: {out}");
    }
}

#[test]
fn a_thousand_cycles_come_to_an_end() {
    let dir = programs_dir();
    let program = compile(dir.path(), "cycles", &["cc"]);
    let mut command = Command::new(program);
    command.arg(small::pack(dir.path(), "pack")).arg(small::video(dir.path())).arg("1000");
    succeed(dir.path(), &mut command, "cycles");
}

#[test]
fn a_program_that_loads_the_library_by_itself() {
    let dir = programs_dir();
    let program = compile(dir.path(), "dlopen_consumer", &["cc"]);
    let needs = Command::new("objdump").arg("-p").arg(&program).output().unwrap();
    assert!(!String::from_utf8_lossy(&needs.stdout).contains("emotionllama"), "it is linked with the library");
    let run = |pack: &Path, clip: &Path| {
        let mut command = Command::new(&program);
        succeed(dir.path(), command.arg(shared_library()).arg(pack).arg(clip).arg("10"), "dlopen");
    };
    run(&small::pack(dir.path(), "pack"), &small::sound(dir.path()));
    run(&pack_dir(), &clip());
}
