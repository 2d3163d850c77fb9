//! The committed header is what the code says, and what C and C++ compilers take.

mod library;

use std::path::Path;
use std::process::Command;

use library::consumer::skipped;
use library::{include_dir, shared_library};
use serde_json::{json, Map, Value};

/// Set to write the header instead of comparing it.
const BLESS: &str = "EMOTION_LLAMA_BLESS";

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    // The modules are found from the root file; no other crate is looked at.
    let builder = cbindgen::Builder::new().with_config(config).with_src(crate_dir.join("src/lib.rs"));
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

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What ends with a semicolon outside of braces.
fn declarations(code: &str) -> Vec<String> {
    let (mut found, mut text, mut depth) = (Vec::new(), String::new(), 0);
    for character in code.chars() {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if character == ';' && depth == 0 {
            found.push(words(&std::mem::take(&mut text)));
        } else {
            text.push(character);
        }
    }
    assert!(depth == 0 && text.trim().is_empty(), "the header ends with {text:?}");
    found
}

fn signature(returns: &str, parameters: &str) -> Value {
    let parameters = parameters.trim_matches(['(', ')']);
    let parameters: Vec<&str> = parameters.split(',').map(str::trim).filter(|text| *text != "void").collect();
    json!({"returns": returns.trim(), "parameters": parameters})
}

/// Every constant, type and function that `header` declares, as JSON: what bindings hold themselves against.
fn abi(header: &str) -> String {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("a comment that ends").1;
    }
    code.push_str(rest);
    let constants: Map<String, Value> = code
        .lines()
        .filter_map(|line| line.strip_prefix("#define EMOTION_LLAMA_")?.split_once(' '))
        .map(|(name, value)| (format!("EMOTION_LLAMA_{name}"), value.parse::<i64>().expect("a number").into()))
        .collect();
    let code: Vec<&str> = code
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("extern") && !line.starts_with("}  //"))
        .collect();
    let code = words(&code.join(" "));
    let (mut types, mut structs, mut callbacks, mut functions) = (Vec::new(), Map::new(), Map::new(), Map::new());
    for declaration in declarations(&code) {
        if let Some((_, fields)) = declaration.strip_prefix("typedef struct ").and_then(|text| text.split_once('{')) {
            let (fields, name) = fields.rsplit_once('}').expect("a struct that ends");
            let fields: Vec<String> = fields.split(';').map(words).filter(|field| !field.is_empty()).collect();
            structs.insert(words(name), json!(fields));
        } else if let Some(opaque) = declaration.strip_prefix("typedef struct ") {
            types.push(opaque.split(' ').next().expect("a name").to_owned());
        } else if let Some(callback) = declaration.strip_prefix("typedef ") {
            let (returns, rest) = callback.split_once("(*").expect("a function pointer");
            let (name, parameters) = rest.split_once(')').expect("a name in brackets");
            callbacks.insert(name.to_owned(), signature(returns, parameters));
        } else {
            let (head, parameters) =
                declaration.split_once('(').unwrap_or_else(|| panic!("{declaration:?} is no function"));
            let name = head.rsplit([' ', '*']).next().expect("a name");
            let before = functions.insert(name.to_owned(), signature(head.strip_suffix(name).unwrap(), parameters));
            assert!(before.is_none(), "{name} is declared twice");
        }
    }
    let abi = json!({
        "abi_version": constants["EMOTION_LLAMA_ABI_VERSION"], "constants": constants, "types": types, "structs": structs,
        "callbacks": callbacks, "functions": functions,
    });
    serde_json::to_string_pretty(&abi).unwrap() + "\n"
}

#[test]
fn the_list_of_the_abi_is_what_the_header_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi.json");
    let listed = abi(&generated());
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, &listed).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == listed, "ffi/abi.json has drifted from the header; run the test with {BLESS}=1");
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
        let Ok(output) = run else {
            skipped(&format!("there is no {compiler} on this machine"));
            continue;
        };
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
