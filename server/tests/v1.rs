//! Version 1 of our API, byte by byte: docs/http-v1.md.

mod common;

use common::{clip, clip_bytes, form, Running};
use serde_json::{json, Value};

/// An analysis's fields.
fn check_analysis(analysis: &Value) {
    for field in ["response", "emotion", "confidence", "probabilities", "explanation", "transcript", "faces", "frame"] {
        assert!(analysis.get(field).is_some(), "{field}: {analysis}");
    }
    assert!(analysis["timings_ms"]["total"].as_f64().unwrap() > 0.0);
    assert!(analysis["emotion"].is_string() && analysis["model"]["name"].is_string());
}

/// Without what differs from run to run.
fn steady(mut analysis: Value) -> Value {
    for time in ["timings_ms", "time_to_label_ms"] {
        analysis.as_object_mut().unwrap().remove(time);
    }
    analysis
}

#[test]
fn models() {
    let server = Running::start(|_| {});
    let reply = server.get("/v1/models");
    assert_eq!((reply.status, reply.header("x-api-version")), (200, Some("1.0")));
    let models = reply.json();
    assert_eq!(models["object"], "list");
    let model = &models["data"][0];
    for field in ["id", "version", "digest", "architecture"] {
        assert!(model[field].is_string(), "{field}");
    }
    assert_eq!((&model["object"], &model["devices"]), (&json!("model"), &json!(["cpu"])));
    assert!(model["labels"].as_array().unwrap().len() > 1 && model["tasks"][0] == "emotion");
}

#[test]
fn a_path_an_upload_and_a_stream_give_the_same_analysis() {
    let server = Running::start(|_| {});
    let asked = json!({"path": "clip.avi", "task": "reason", "greedy": true, "max_new_tokens": 8});
    let by_path = server.post("/v1/analyze", &asked);
    assert_eq!(by_path.status, 200, "{}", by_path.text());
    check_analysis(&by_path.json());
    let absolute = json!({"path": clip(), "task": "reason", "greedy": true, "max_new_tokens": 8});
    assert_eq!(steady(server.post("/v1/analyze", &absolute).json()), steady(by_path.json()));

    let request = json!({"task": "reason", "greedy": true, "max_new_tokens": 8}).to_string();
    let (kind, body) = form(&[("request", None, request.as_bytes()), ("media", Some("a.avi"), &clip_bytes())]);
    let uploaded = server.send("POST", "/v1/analyze", &[("content-type", &kind)], &body);
    assert_eq!(uploaded.status, 200, "{}", uploaded.text());
    assert_eq!(steady(uploaded.json()), steady(by_path.json()));
    server.wait_for("the end of all uploads", || server.app().files.uploads.total_bytes() == 0);

    let accept = [("content-type", kind.as_str()), ("accept", "text/event-stream, application/json")];
    let stream = server.send("POST", "/v1/analyze", &accept, &body);
    assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
    assert_eq!((stream.status, stream.header("x-api-version")), (200, Some("1.0")));
    let events = stream.events();
    let stages: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "stage").map(|(_, data)| &data["stage"]).collect();
    assert_eq!(stages, ["decode", "observe", "respond"]);
    let labels: Vec<_> = events.iter().filter(|(name, _)| name == "label").collect();
    let [(_, label)] = labels[..] else { panic!("one label is told: {labels:?}") };
    for field in ["emotion", "confidence", "probabilities"] {
        assert_eq!(label[field], by_path.json()[field], "{field}");
    }
    let text: String =
        events.iter().filter(|(name, _)| name == "text").map(|(_, data)| data["text"].as_str().unwrap()).collect();
    let (last, result) = events.last().unwrap();
    assert_eq!((last.as_str(), &result["type"]), ("result", &json!("result")));
    assert_eq!(result["analysis"]["response"], text);
    assert_eq!(steady(result["analysis"].clone()), steady(by_path.json()));
}

#[test]
fn what_cannot_be_used_is_told_with_its_status() {
    let server = Running::start(|config| {
        config.limits.upload_bytes = 100_000;
        config.limits.clip_s = 0.2;
    });
    let post = |body: Value| server.post("/v1/analyze", &body).error();
    let invalid = |status: u16| (status, "invalid_argument".to_owned());
    assert_eq!(post(json!({})), invalid(400));
    assert_eq!(post(json!([])), invalid(400));
    assert_eq!(post(json!({"path": "clip.avi", "tsak": "emotion"})), invalid(400));
    assert_eq!(post(json!({"path": "clip.avi", "labels": ["one"]})), invalid(400));
    assert_eq!(post(json!({"path": "http://127.0.0.1/a.mp4"})), invalid(400));
    assert_eq!(post(json!({"path": "absent.avi"})), (404, "not_found".into()));
    assert_eq!(post(json!({"path": "../clip.avi"})), (404, "not_found".into()));
    // A third of a second is too long for this server, whatever the request allows.
    assert_eq!(post(json!({"path": "clip.avi", "limits": {"max_duration_s": 100}})), (413, "media_too_large".into()));
    let send = |kind: &str, body: &[u8]| server.send("POST", "/v1/analyze", &[("content-type", kind)], body);
    assert_eq!(send("application/json", b"{\"path\": \"\xff\"}").error(), invalid(400));
    assert_eq!(send("application/json", "[".repeat(100_000).as_bytes()).error(), invalid(400));
    assert_eq!(send("text/plain", b"{}").error(), invalid(415));
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(server.send("POST", "/v1/analyze", &packed, b"{}").error(), invalid(415));
    assert_eq!(server.send("DELETE", "/v1/sessions/%ff", &[], b"").error(), (404, "not_found".into()));
    assert_eq!(send("multipart/form-data", b"x").error(), invalid(400));
    let form = |parts: &[(&str, Option<&str>, &[u8])]| {
        let (kind, body) = form(parts);
        send(&kind, &body).error()
    };
    assert_eq!(form(&[("media", Some("a"), b"this is no media")]), (400, "media_undecodable".into()));
    assert_eq!(form(&[("media", Some("a"), b"")]), (400, "media_undecodable".into()));
    assert_eq!(form(&[("request", None, b"{}")]), invalid(400));
    assert_eq!(form(&[("media", Some("a"), b"x"), ("request", None, b"{}")]), invalid(400));
    assert_eq!(form(&[("request", None, b"{\"path\": \"clip.avi\"}"), ("media", Some("a"), b"x")]), invalid(400));
    assert_eq!(form(&[("other", None, b"{}")]), invalid(400));
    assert_eq!(form(&[("media", Some("a"), &[0; 100_001])]), (413, "media_too_large".into()));
    assert_eq!(server.send("GET", "/v1/analyze", &[], b"").error(), invalid(405));
    assert_eq!(server.get("/v1/nothing").error(), (404, "not_found".into()));
    let error = server.post("/v1/analyze", &json!({"path": "absent.avi"}));
    assert_eq!(error.header("x-api-version"), Some("1.0"));
    let body = error.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["error", "code", "details"]);
    assert!(body["error"].as_str().unwrap().contains("absent.avi"));
    assert_eq!(server.get("/healthz").status, 200);
    server.wait_for("the end of all uploads", || server.app().files.uploads.total_bytes() == 0);
}

#[test]
fn an_error_after_the_stream_began_is_its_last_event() {
    let server = Running::start(|_| {});
    let (kind, body) = form(&[("media", Some("a.mp4"), b"this is no media")]);
    let headers = [("content-type", kind.as_str()), ("accept", "text/event-stream")];
    let reply = server.send("POST", "/v1/analyze", &headers, &body);
    let events = reply.events();
    let (name, data) = events.last().unwrap();
    assert_eq!((reply.status, name.as_str(), &data["code"]), (200, "error", &json!("media_undecodable")));
}

#[test]
fn sessions() {
    let server = Running::start(|config| config.sessions.most = 2);
    let opened = server.post("/v1/sessions", &json!({"path": "clip.avi"}));
    assert_eq!(opened.status, 201, "{}", opened.text());
    let id = opened.json()["id"].as_str().unwrap().to_owned();
    assert!(opened.json()["expires_s"].as_f64().unwrap() > 0.0 && id.len() == 32);
    let ask = |text: &str| {
        let asked = json!({"prompt": text, "greedy": true, "max_new_tokens": 4});
        server.post(&format!("/v1/sessions/{id}/ask"), &asked)
    };
    let first = ask("[emotion] Which?");
    assert_eq!(first.status, 200, "{}", first.text());
    check_analysis(&first.json());
    let second = ask("Why?");
    assert!(second.json()["usage"]["cached_tokens"].as_u64() > first.json()["usage"]["cached_tokens"].as_u64());
    assert_eq!(server.post(&format!("/v1/sessions/{id}/reset"), &json!({})).status, 204);
    assert_eq!(steady(ask("[emotion] Which?").json())["probabilities"], steady(first.json())["probabilities"]);
    let refused = server.post(&format!("/v1/sessions/{id}/ask"), &json!({"path": "clip.avi"}));
    assert_eq!(refused.error(), (400, "invalid_argument".into()));
    let other = server.post("/v1/sessions", &json!({"path": "clip.avi"}));
    assert_eq!(other.status, 201);
    let third = server.post("/v1/sessions", &json!({"path": "clip.avi"}));
    assert_eq!((third.error(), third.header("retry-after").is_some()), ((503, "overloaded".into()), true));
    assert_eq!(server.send("DELETE", &format!("/v1/sessions/{id}"), &[], b"").status, 204);
    for call in ["ask", "reset"] {
        assert_eq!(server.post(&format!("/v1/sessions/{id}/{call}"), &json!({})).error(), (404, "not_found".into()));
    }
    assert_eq!(server.send("DELETE", &format!("/v1/sessions/{id}"), &[], b"").error(), (404, "not_found".into()));
    assert_eq!(server.app().sessions.count(), 1);
}

#[test]
fn a_session_that_is_not_used_ends() {
    let server = Running::start(|config| config.sessions.idle_s = 0.05);
    let opened = server.post("/v1/sessions", &json!({"path": "clip.avi"})).json();
    std::thread::sleep(std::time::Duration::from_millis(80));
    let gone = server.post(&format!("/v1/sessions/{}/ask", opened["id"].as_str().unwrap()), &json!({}));
    assert_eq!(gone.error(), (404, "not_found".into()));
}
