//! What `make install` puts in place is found by pkg-config and CMake, and works where it was moved to.

mod library;

use std::process::Command;

use library::consumer::{has, is_the_abi, run, wants_the_node, Place};
use library::{root, static_library};

#[test]
fn an_installed_library_is_found_and_works_where_it_was_moved_to() {
    let dir = tempfile::tempdir().unwrap();
    let (first, prefix) = (dir.path().join("first"), dir.path().join("moved here"));
    let script = root().join("tools/install_library.sh");
    for _ in 0..2 {
        run(Command::new("bash").arg(&script).arg(static_library().parent().unwrap()).arg(&first));
    }
    std::fs::rename(&first, &prefix).unwrap();
    let lib = prefix.join("lib");
    is_the_abi(&lib.join("libemotionllama.so"));

    let (here, examples) = (Place::default(), root().join("examples"));
    if has("pkg-config") {
        let programs = here.examples_by_pkg_config(&examples, &prefix, &dir.path().join("plain"), "");
        for program in programs {
            wants_the_node(&program);
            here.analyses(&program, Some(&lib));
        }
    }
    if has("cmake") {
        for program in here.examples_by_cmake(&examples, &prefix, &dir.path().join("cmake")) {
            wants_the_node(&program);
            here.analyses(&program, None);
        }
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

/// The check that guards the tarball's baseline says no to a library that needs more.
#[test]
fn a_library_above_the_glibc_baseline_is_refused() {
    let check = |baseline: &str| {
        let mut command = Command::new("bash");
        command.arg(root().join("tools/check_glibc.sh")).arg(baseline).arg(library::shared_library());
        command.output().unwrap()
    };
    // What cargo linked wants this machine's C library, which has at least the 2.2.5 that x86-64 began with.
    let refused = check("2.2");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("and the baseline is 2.2:"), "{refused:?}");
    let accepted = check("99.0");
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(String::from_utf8_lossy(&accepted.stdout).starts_with("no symbol above GLIBC_2."), "{accepted:?}");
}
