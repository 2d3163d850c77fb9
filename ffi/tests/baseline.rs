//! Programs that were built before go on working: the first released header against today's library.
//!
//! `baseline/` holds that header, its list `abi.json` and a program that uses all of it. They are copied when a release is the first of
//! an ABI number (`cp include/emotion_llama.h ffi/abi.json ffi/tests/baseline/`), and never changed until that number changes.

mod library;

use std::path::PathBuf;
use std::process::Command;

use library::programs::{programs_dir, succeed};
use library::{declared_functions, root, small};
use serde_json::Value;

fn baseline(name: &str) -> PathBuf {
    root().join("ffi/tests/baseline").join(name)
}

#[test]
fn a_program_of_the_first_header_runs_with_todays_library() {
    let dir = programs_dir();
    let program = dir.path().join("program");
    let output = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-I"])
        .arg(root().join("ffi/tests/baseline"))
        .arg(baseline("program.c"))
        .arg("-L")
        .arg(dir.path())
        .args(["-lemotionllama", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = Command::new(program);
    succeed(dir.path(), command.arg(small::pack(dir.path(), "pack")).arg(small::video(dir.path())), "baseline");

    let [header, text] = ["emotion_llama.h", "program.c"].map(|name| std::fs::read_to_string(baseline(name)).unwrap());
    for name in declared_functions(&header) {
        assert!(text.contains(&format!("{name}(")), "{name} is not used");
    }
}

/// What of `before` is not in `now` as it was. Lists of fields may have grown at their end; of anything there may be more.
fn broken(before: &Value, now: &Value, path: &str, found: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (name, value) in before {
                match now.get(name) {
                    Some(now) => broken(value, now, &format!("{path}/{name}"), found),
                    None => found.push(format!("{path}/{name} is gone")),
                }
            }
        }
        (Value::Array(before), Value::Array(now)) if path == "/types" => {
            found.extend(before.iter().filter(|name| !now.contains(name)).map(|name| format!("{name} is gone")));
        }
        (Value::Array(before), Value::Array(now)) if path.starts_with("/structs/") && now.starts_with(before) => {}
        _ if before == now => {}
        _ => found.push(format!("{path} was {before} and is {now}")),
    }
}

fn list(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn nothing_of_the_first_list_was_changed() {
    let (before, now) = (list(baseline("abi.json")), list(root().join("ffi/abi.json")));
    assert!(before["functions"].as_object().unwrap().len() >= 28);
    let mut found = Vec::new();
    broken(&before, &now, "", &mut found);
    assert!(found.is_empty(), "programs that were built before would break: {found:#?}");
}

#[test]
fn what_would_break_programs_is_found_and_what_would_not_is_let_pass() {
    let before = list(baseline("abi.json"));
    let findings = |change: &dyn Fn(&mut Value)| {
        let mut now = before.clone();
        change(&mut now);
        let mut found = Vec::new();
        broken(&before, &now, "", &mut found);
        found.len()
    };
    let fields = |now: &mut Value, change: &dyn Fn(&mut Vec<Value>)| {
        change(now["structs"]["emotion_llama_media"].as_array_mut().unwrap());
    };
    assert_eq!(findings(&|_| {}), 0);
    assert_eq!(findings(&|now| now["functions"]["emotion_llama_more"] = "new".into()), 0);
    assert_eq!(findings(&|now| now["constants"]["EMOTION_LLAMA_MORE"] = 1.into()), 0);
    assert_eq!(findings(&|now| now["types"].as_array_mut().unwrap().insert(0, "emotion_llama_more".into())), 0);
    assert_eq!(findings(&|now| fields(now, &|list| list.push("double more".into()))), 0);

    assert_eq!(findings(&|now| fields(now, &|list| list.insert(1, "double more".into()))), 1);
    assert_eq!(findings(&|now| fields(now, &|list| drop(list.pop()))), 1);
    assert_eq!(findings(&|now| now["constants"]["EMOTION_LLAMA_CANCELLED"] = 80.into()), 1);
    assert_eq!(findings(&|now| drop(now["types"].as_array_mut().unwrap().pop())), 1);
    assert_eq!(findings(&|now| drop(now["functions"].as_object_mut().unwrap().remove("emotion_llama_analyze"))), 1);
    assert_eq!(findings(&|now| now["functions"]["emotion_llama_version"]["returns"] = "char *".into()), 1);
    let parameters =
        |now: &mut Value| now["functions"]["emotion_llama_analyze"]["parameters"][1] = "int request".into();
    assert_eq!(findings(&parameters), 1);
    assert_eq!(findings(&|now| now["callbacks"]["emotion_llama_log_function"]["returns"] = "int".into()), 1);
}
