//! The published servers' calls.

mod common;

use base64::Engine;
use common::Running;
use serde_json::{json, Value};

#[test]
fn predict() {
    let server = Running::start(|_| {});
    let body = json!({"data": ["clip.avi", "[emotion] Which?", "surplus"], "session_hash": "x", "fn_index": 0});
    for target in ["/api/predict/", "/api/predict", "/run/predict/", "/run/predict"] {
        let reply = server.post(target, &body);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text());
        let answer = reply.json();
        let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["data", "is_generating", "duration", "average_duration", "render_config", "changed_state_ids"]
        );
        assert_eq!(answer["data"].as_array().unwrap().len(), 1);
        assert!(answer["data"][0].is_string() && answer["duration"].as_f64().unwrap() > 0.0);
        assert!(reply.text().starts_with("{\"data\":["));
    }
    let upload =
        json!({"data": [{"path": "clip.avi", "orig_name": "a.avi", "meta": {"_type": "gradio.FileData"}}, null]});
    assert_eq!(server.post("/api/predict/", &upload).status, 200);
    assert_eq!(server.post("/api/predict/", &json!({"data": ["clip.avi", 7]})).status, 200);
    assert_eq!(server.post("/api/predict/", &json!({"data": ["absent.avi", ""]})).error(), (404, "not_found".into()));
    assert_eq!(server.post("/api/predict/", &json!({"data": ["clip.avi"]})).error(), (400, "invalid_argument".into()));
    assert_eq!(server.post("/api/predict/", &json!({"data": [null, ""]})).error(), (400, "invalid_argument".into()));
    let detail = |body: &str| {
        let reply = server.send("POST", "/api/predict/", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(reply.status, 422, "{}", reply.text());
        reply.json()["detail"][0].clone()
    };
    assert_eq!((&detail("{}")["type"], &detail("{}")["loc"]), (&json!("missing"), &json!(["body", "data"])));
    assert_eq!(detail("{\"data\": 1}")["type"], "list_type");
    let broken = detail("{\"data\": [");
    assert_eq!(
        (&broken["type"], &broken["loc"], &broken["ctx"]["error"]),
        (&json!("json_invalid"), &json!(["body", 10]), &json!("Expecting value"))
    );
    assert_eq!(detail("[]")["type"], "model_attributes_type");
    assert_eq!(detail("")["type"], "missing");
    let get = server.get("/api/predict/");
    assert_eq!((get.status, get.json()), (405, json!({"detail": "Method Not Allowed"})));
}

/// As upstream's `infer_api.py` sends it.
#[test]
fn a_picture_in_base64() {
    let server = Running::start(|_| {});
    let picture = server.dir.path().join("a.jpg");
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:duration=0.1", "-frames:v", "1"])
        .arg(&picture)
        .status()
        .unwrap();
    assert!(made.success());
    let encoded = base64::engine::general_purpose::STANDARD.encode(std::fs::read(picture).unwrap());
    let reply = server.post("/api/predict/", &json!({"data": [encoded, "[emotion] Which?"]}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.json()["data"][0].is_string());
}

#[test]
fn process_video() {
    let server = Running::start(|config| config.listen.fastapi_port = Some(0));
    let second = server.addresses[1];
    let body = json!({"video_path": "clip.avi", "question": "[emotion] Which?", "extra": 1}).to_string();
    let reply =
        common::send(second, "POST", "/process_video", &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    assert!(answer["response"].is_string());
    assert_eq!(server.post("/process_video/", &serde_json::from_str::<Value>(&body).unwrap()).status, 200);
    let absent = server.post("/process_video", &json!({"video_path": "absent.mp4", "question": ""}));
    assert_eq!(absent.error(), (404, "not_found".into()));
    assert_eq!(absent.json()["details"], json!({"path": "absent.mp4"}));
    let types = server.post("/process_video", &json!({"video_path": 1, "question": null})).json();
    assert_eq!(types["detail"].as_array().unwrap().len(), 2);
    assert_eq!(types["detail"][1]["loc"], json!(["body", "question"]));
    let utf8 = server.send("POST", "/process_video", &[("content-type", "application/json")], b"\xff\xfe");
    assert_eq!((utf8.status, utf8.json()), (400, json!({"detail": "There was an error parsing the body"})));
    let unknown = server.get("/no_such_path");
    assert_eq!((unknown.status, unknown.json()), (404, json!({"detail": "Not Found"})));
}
