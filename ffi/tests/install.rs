//! What `make install` puts in place is found by pkg-config and CMake, and works where it was moved to.

mod library;

use std::path::Path;
use std::process::{Command, Output};

use library::{clip, pack_dir, root, shared_library};

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

/// Whether `program` is on this machine; says so where it is not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program} on this machine");
    }
    found
}

fn analyses(program: &Path, libraries: &Path) {
    let mut command = Command::new(program);
    command.arg(pack_dir()).arg(clip()).env("LD_LIBRARY_PATH", libraries);
    assert!(run(&mut command).contains(r#""emotion":"angry""#));
}

#[test]
fn an_installed_library_is_found_and_works_where_it_was_moved_to() {
    let dir = tempfile::tempdir().unwrap();
    let (first, prefix) = (dir.path().join("first"), dir.path().join("moved here"));
    let script = root().join("tools/install_library.sh");
    for _ in 0..2 {
        run(Command::new("bash").arg(&script).arg(shared_library().parent().unwrap()).arg(&first));
    }
    std::fs::rename(&first, &prefix).unwrap();
    let lib = prefix.join("lib");
    let needed = run(Command::new("objdump").arg("-p").arg(lib.join("libemotionllama.so")));
    assert!(needed.lines().any(|line| line.split_whitespace().eq(["SONAME", "libemotionllama.so.1"])), "{needed}");

    if has("pkg-config") {
        let program = dir.path().join("analyze");
        let command = format!(
            "cc '{}' -o '{}' $(pkg-config --cflags --libs emotionllama)",
            root().join("examples/c/analyze.c").display(),
            program.display()
        );
        // A path with a space comes escaped from pkg-config, so the shell reads it once more.
        let command = format!("eval \"{}\"", command.replace('"', "\\\""));
        run(Command::new("sh").arg("-c").arg(command).env("PKG_CONFIG_PATH", lib.join("pkgconfig")));
        analyses(&program, &lib);
    }
    if has("cmake") {
        let build = dir.path().join("examples");
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(root().join("examples")).arg("-B").arg(&build);
        run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
        run(Command::new("cmake").arg("--build").arg(&build));
        analyses(&build.join("stream"), &lib);
    }
}

#[test]
fn nothing_is_installed_from_where_nothing_was_built() {
    let dir = tempfile::tempdir().unwrap();
    let script = root().join("tools/install_library.sh");
    let output = Command::new("bash").arg(script).arg(dir.path()).arg(dir.path().join("prefix")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo build"), "{output:?}");
    assert!(!dir.path().join("prefix").exists());
}
