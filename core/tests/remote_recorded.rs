//! The answers of real servers, as they were recorded, played back.

mod remote_server;

use std::io::Write;
use std::path::{Path, PathBuf};

use emotion_llama_core::remote::{Remote, RemoteOptions};
use emotion_llama_core::request::{Question, Request};
use emotion_llama_core::{CancelToken, Error};
use remote_server::{json, Reply, Server};
use serde_json::{json as value, Value};

/// What the published function says, with status 200, of a file that is not there.
const ABSENT: &str = "错误：视频文件不存在。";

/// The recordings beside the checkout; None, and loud, where there are none.
fn recordings() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/http");
    if !beside.is_dir() {
        // Past the test harness, which holds back what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no recorded exchanges beside the checkout");
        return None;
    }
    Some(beside)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Status and body of each answer to a POST whose target ends with one of `targets`, with the name of its recording.
fn answers(folder: &Path, targets: &[&str]) -> Vec<(String, u16, Vec<u8>)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("raw")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        for exchange in read(&file)["exchanges"].as_array().into_iter().flatten() {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let target = request["target"].as_str().unwrap_or_default();
            let is_wanted = request["method"] == "POST" && targets.iter().any(|wanted| target.ends_with(wanted));
            let Some(status) = response["status"].as_u64().filter(|_| is_wanted) else { continue };
            let body = match (response.get("body_json"), response["body_text"].as_str()) {
                (Some(json), _) => json.to_string().into_bytes(),
                (None, Some(text)) => text.as_bytes().to_vec(),
                (None, None) => continue,
            };
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            found.push((name, u16::try_from(status).unwrap(), body));
        }
    }
    found
}

/// Opens a server that introduces itself by `introduction` and answers each POST with `status` and `body`.
fn ask(introduction: fn(&str, &Value) -> Reply, config: &Value, status: u16, body: &[u8]) -> Result<String, Error> {
    let (config, body) = (config.clone(), body.to_vec());
    let server = Server::new(move |received| {
        if received.method == "POST" {
            Reply::Whole(status, vec![("content-type", "application/json".into())], body.clone())
        } else {
            introduction(&received.target, &config)
        }
    });
    let cancel = CancelToken::new();
    let remote = Remote::open(&server.url(), &RemoteOptions::default(), &cancel).unwrap();
    let question = Question { prompt: Some("Why?".into()), ..Question::default() };
    let request = Request { question, ..Request::new("/on/the/server.mp4") };
    remote.analyze(&request, &cancel, &mut |_| {}).map(|analysis| analysis.response)
}

/// What an answer has to become.
fn check(name: &str, status: u16, body: &[u8], field: &str, outcome: Result<String, Error>) {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = json.pointer(field).and_then(Value::as_str);
    let wanted = match (status, text) {
        (200, Some(ABSENT)) => "not_found",
        (200, Some(text)) => return assert_eq!(outcome.unwrap(), text, "{name}"),
        (200, None) if json.get("error").is_some() => "internal",
        (200, None) => "unreachable",
        (400 | 401 | 422, _) => "invalid_argument",
        (429, _) => "overloaded",
        (404 | 405, _) => "unreachable",
        (500, _) => "internal",
        (status, _) => panic!("{name}: a recording with status {status}"),
    };
    let error = outcome.unwrap_err();
    assert_eq!(error.name(), wanted, "{name}: {error}");
    println!("{name}: {status} -> {error}");
}

#[test]
fn gradio_of_three_generations() {
    let Some(recordings) = recordings() else { return };
    for version in ["4.44.1", "5.50.0", "6.31.0"] {
        let folder = recordings.join(format!("gradio-{version}"));
        let config = read(&folder.join("config.json"));
        let introduction = |target: &str, config: &Value| match target {
            "/config" => json(200, config.clone()),
            _ => json(404, value!({"detail": "Not Found"})),
        };
        let mut count = 0;
        for (name, status, body) in answers(&folder, &["/api/predict/", "/api/predict", "/run/predict"]) {
            check(&name, status, &body, "/data/0", ask(introduction, &config, status, &body));
            count += 1;
        }
        println!("gradio {version}: {count} answers");
        assert!(count >= 4, "{count}");
    }
}

#[test]
fn fastapi_with_key_and_limit() {
    let Some(recordings) = recordings() else { return };
    let introduction = |target: &str, _: &Value| match target {
        "/process_video" => {
            Reply::Whole(405, vec![("allow", "POST".into())], b"{\"detail\":\"Method Not Allowed\"}".to_vec())
        }
        _ => json(404, value!({"detail": "Not Found"})),
    };
    let answers = answers(&recordings.join("fastapi"), &["/process_video"]);
    for (name, status, body) in &answers {
        check(name, *status, body, "/response", ask(introduction, &Value::Null, *status, body));
    }
    println!("fastapi: {} answers", answers.len());
    assert!(answers.len() >= 15, "{}", answers.len());
}
