//! `emotion-llama analyze --api-url` as its users run it.

#[path = "../../core/tests/remote_server/mod.rs"]
mod remote_server;

use std::process::{Command, Output};

use remote_server::{json, Reply, Server};
use serde_json::{json as value, Value};

const KEY: &str = "sk-geheim-0123456789";

/// A published server with a key.
fn server() -> Server {
    Server::new(|received| match (received.method.as_str(), received.target.as_str()) {
        _ if received.headers.get("x-api-key").map(String::as_str) != Some(KEY) => {
            json(401, value!({"error": "Invalid API key"}))
        }
        ("POST", "/process_video") => json(200, value!({"response": "The person frowns. They are angry."})),
        (_, "/process_video") => Reply::Whole(405, vec![("allow", "POST".into())], vec![]),
        _ => json(404, value!({"detail": "Not Found"})),
    })
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emotion-llama"))
        .args(["analyze", "--api-url", &server.url()])
        .args(arguments)
        .env_remove("EMOTION_LLAMA_API_KEY")
        .env("RUST_LOG", "trace")
        // No variable decides where a clip goes.
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"].map(|name| (name, "http://127.0.0.1:9")))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_server_answers_in_place_of_a_pack() {
    let server = server();
    let card = run(&server, &["--api-key", KEY, "/on/the/server.mp4"]);
    let shown = text(&card.stdout);
    println!("{shown}");
    assert!(card.status.success(), "{}", text(&card.stderr));
    for words in
        ["The person frowns. They are angry.", "angry, with a confidence that is not known", "gives text alone", "time"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    for absent in ["%", "model", "decode"] {
        assert!(!shown.contains(&format!("  {absent}")), "{absent}: {shown}");
    }
    let lines = run(&server, &["--json", "--api-key", KEY, "/a.mp4", "/b.mp4"]);
    let lines: Vec<Value> = text(&lines.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["emotion"] == "angry" && lines[0]["confidence"].is_null(), "{}", lines[0]);
}

#[test]
fn a_key_is_taken_from_its_variable_and_shown_nowhere() {
    let server = server();
    let with_variable = Command::new(env!("CARGO_BIN_EXE_emotion-llama"))
        .args(["analyze", "--json", "--api-url", &server.url(), "/a.mp4"])
        .env("EMOTION_LLAMA_API_KEY", KEY)
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert!(with_variable.status.success(), "{}", text(&with_variable.stderr));
    let with_option = run(&server, &["--api-key", KEY, "/a.mp4"]);
    let refused = run(&server, &["--json", "--api-key", "sk-geheim-wrong", "/a.mp4"]);
    assert_eq!(refused.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(line["error"]["name"], "invalid_argument");
    for output in [with_variable, with_option, refused] {
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(all.contains("TRACE") && !all.contains("geheim"), "{all}");
        // The bytes of a wire dump.
        assert!(!all.contains("6765 6865 696d") && !all.contains("heim"), "{all}");
    }
}

#[test]
fn options_that_exclude_each_other() {
    let server = server();
    for arguments in [&["--pack", "x", "a.mp4"][..], &["--features", "mae=x.npy", "a.mp4"]] {
        assert_eq!(run(&server, arguments).status.code(), Some(2), "{arguments:?}");
    }
    let alone = Command::new(env!("CARGO_BIN_EXE_emotion-llama"))
        .args(["analyze", "--api-key", "x", "a.mp4"])
        .output()
        .unwrap();
    assert_eq!(alone.status.code(), Some(2));
    assert!(server.received().is_empty());
}
