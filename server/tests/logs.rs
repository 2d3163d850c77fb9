//! What is logged of calls, and what is counted: alone in its program, as a process has one log.

mod common;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use common::{clip_bytes, form, open, Running};
use emotion_llama_server::config::{Log, LogFormat};
use emotion_llama_server::operate::logs::subscriber;
use serde_json::{json, Value};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log() -> String {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}

/// The lines about calls.
fn calls() -> Vec<Value> {
    let lines = log();
    let lines =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    lines.filter(|line| line["target"] == "emotion_llama_server::access").collect()
}

#[test]
fn a_line_for_each_call_and_nothing_of_what_was_sent() {
    let settings = Log { format: LogFormat::Json, filter: "debug".into(), content: false };
    tracing::subscriber::set_global_default(subscriber(&settings, || Writer)).unwrap();
    let server = Running::start(|config| config.access.keys = vec!["the-key-of-a-test".into()]);
    let key = ("x-api-key", "the-key-of-a-test");
    let request = json!({"prompt": "Is the secret prompt logged?", "transcript": "spoken secret", "max_new_tokens": 4})
        .to_string();
    let (kind, body) =
        form(&[("request", None, request.as_bytes()), ("media", Some("secret name.avi"), &clip_bytes())]);
    let reply = server.send(
        "POST",
        "/v1/analyze?secret=query",
        &[key, ("content-type", &kind), ("x-request-id", "of-a-test")],
        &body,
    );
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some("of-a-test")));
    assert_eq!(server.send("GET", "/v1/models", &[("x-api-key", "a-wrong-secret")], b"").status, 401);
    let named = json!({"path": "secret/path.avi"}).to_string();
    assert_eq!(
        server.send("POST", "/v1/analyze", &[key, ("content-type", "application/json")], named.as_bytes()).status,
        404
    );
    assert_eq!(server.send("DELETE", "/v1/sessions/secret-id", &[key], b"").status, 404);
    assert_eq!(server.send("GET", "/secret/path", &[key], b"").status, 404);
    server.wait_for("five lines", || calls().len() == 5);
    let calls = calls();
    for (call, (method, route, status, name, code)) in calls.iter().zip([
        ("POST", "/v1/analyze", 200, json!("key-1"), Value::Null),
        ("GET", "/v1/models", 401, Value::Null, json!("invalid_argument")),
        ("POST", "/v1/analyze", 404, json!("key-1"), json!("not_found")),
        ("DELETE", "/v1/sessions/{id}", 404, json!("key-1"), json!("not_found")),
        ("GET", "other", 404, json!("key-1"), Value::Null),
    ]) {
        let told = (&call["method"], &call["route"], &call["status"], &call["key"], &call["code"]);
        assert_eq!(told, (&json!(method), &json!(route), &json!(status), &name, &code), "{call}");
        assert!(
            call["ms"].as_f64().unwrap() > 0.0 && call["head_ms"].is_number() && call["timestamp"].is_string(),
            "{call}"
        );
        assert_eq!(
            (&call["address"], call["left"].is_null(), call["path"].is_null()),
            (&json!("127.0.0.1"), true, true),
            "{call}"
        );
    }
    assert_eq!((&calls[0]["request_id"], calls[1]["request_id"].as_str().unwrap().len()), (&json!("of-a-test"), 32));
    assert_eq!(calls[0]["bytes"], reply.body.len());
    let response = reply.json()["response"].as_str().unwrap().to_owned();
    for word in ["secret", "the-key-of-a-test", &response] {
        assert!(!log().contains(word), "{word}: {}", log());
    }

    // A client that goes away is seen.
    let stream = open(
        server.address(),
        "POST",
        "/v1/analyze",
        &[key, ("content-type", "application/json"), ("content-length", "90")],
        b"",
    );
    drop(stream);
    let metrics = server.get("/metrics").text();
    for line in [
        r#"emotion_llama_http_requests_total{method="POST",route="/v1/analyze",status="200"} 1"#,
        r#"emotion_llama_http_requests_total{method="GET",route="/v1/models",status="401"} 1"#,
        r#"emotion_llama_http_requests_total{method="GET",route="other",status="404"} 1"#,
        r#"emotion_llama_stage_seconds_count{stage="generate"} 1"#,
        r#"emotion_llama_http_request_seconds_count{route="/v1/analyze"}"#,
        "emotion_llama_queue_waiting 0",
        "emotion_llama_queue_running 0",
        "emotion_llama_ready 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let tokens = reply.json()["usage"]["completion_tokens"].to_string();
    assert!(metrics.contains(&format!("emotion_llama_tokens_total{{kind=\"completion\"}} {tokens}")), "{metrics}");

    // Where it is asked for, it is there.
    let server = Running::start(|config| config.log.content = true);
    assert_eq!(
        server.post("/v1/analyze", &json!({"path": "clip.avi", "prompt": "Is the other prompt logged?"})).status,
        200
    );
    assert!(log().contains("Is the other prompt logged?") && log().contains("clip.avi"));
}
