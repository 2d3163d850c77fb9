//! `POST /v1/batch`: many clips, one line each, in the order in which they are done.

mod common;

use std::io::{BufRead, BufReader};

use common::{clip_bytes, form, open, read, real_clip, Running};
use serde_json::{json, Value};

const JSON: (&str, &str) = ("content-type", "application/json");

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_for_each_clip_and_its_own_error() {
    let server = Running::start(|config| config.queue.running = 2);
    let requests = json!([
        {"path": "clip.avi", "max_new_tokens": 4, "id": "first"},
        {"path": "absent.avi", "id": {"any": "thing"}},
        {"path": "clip.avi", "max_new_tokens": 4, "task": "reason"},
        {"path": "clip.avi", "tsak": "emotion"},
        {"path": "http://127.0.0.1/a.avi"},
    ]);
    let reply = server.post("/v1/batch", &json!({"requests": requests}));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")), "{}", reply.text());
    let mut lines = lines(&reply.text());
    lines.sort_by_key(|line| line["index"].as_u64());
    let indices: Vec<u64> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!("first"), &json!({"any": "thing"})));
    assert!(lines[0]["analysis"]["emotion"].is_string() && lines[2]["analysis"]["emotion"].is_string());
    assert!(lines[0].get("error").is_none() && lines[2].get("id").is_none());
    let codes: Vec<&Value> = [1, 3, 4].iter().map(|index| &lines[*index]["code"]).collect();
    assert_eq!(codes, ["not_found", "invalid_argument", "invalid_argument"]);
}

#[test]
fn uploads_belong_to_the_requests_without_a_path() {
    let server = Running::start(|_| {});
    let send = |requests: Option<Value>, count: usize| {
        let text = requests.map(|requests| json!({"requests": requests}).to_string());
        let bytes = clip_bytes();
        let mut parts: Vec<(&str, Option<&str>, &[u8])> = Vec::new();
        parts.extend(text.as_ref().map(|text| ("requests", None, text.as_bytes())));
        parts.extend((0..count).map(|_| ("media", Some("a.avi"), bytes.as_slice())));
        let (kind, body) = form(&parts);
        server.send("POST", "/v1/batch", &[("content-type", &kind)], &body)
    };
    let both = send(
        Some(json!([{"id": 0, "max_new_tokens": 2}, {"path": "clip.avi", "id": 1}, {"id": 2, "task": "reason"}])),
        2,
    );
    assert_eq!(both.status, 200, "{}", both.text());
    assert!(lines(&both.text()).iter().all(|line| line["analysis"]["emotion"].is_string()), "{}", both.text());
    assert_eq!(lines(&send(None, 3).text()).len(), 3);
    assert_eq!(send(Some(json!([{}])), 2).error(), (400, "invalid_argument".into()));
    assert_eq!(send(Some(json!([{}, {}, {}])), 2).error(), (400, "invalid_argument".into()));
    server.wait_for("the end of all uploads", || server.app().files.uploads.total_bytes() == 0);
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    let server = Running::start(|config| config.limits.batch = 3);
    for bad in [
        json!([]),
        json!({}),
        json!({"requests": []}),
        json!({"requests": {}}),
        json!({"requests": [1]}),
        json!({"requests": [{}], "more": 1}),
        json!({"requests": [{}, {}, {}, {}]}),
    ] {
        assert_eq!(server.post("/v1/batch", &bad).error(), (400, "invalid_argument".into()), "{bad}");
    }
    assert_eq!(server.send("POST", "/v1/batch", &[("content-type", "text/csv")], b"a").status, 415);
}

#[test]
fn a_batch_that_is_longer_than_the_queue_is_answered_whole() {
    let server = Running::start(|config| config.queue.waiting = 0);
    let requests = vec![json!({"path": "clip.avi", "max_new_tokens": 2}); 20];
    let reply = server.post("/v1/batch", &json!({"requests": requests}));
    let lines = lines(&reply.text());
    assert_eq!(lines.len(), 20);
    assert!(lines.iter().all(|line| line["analysis"]["emotion"].is_string()), "{}", reply.text());
}

#[test]
fn a_client_that_goes_away_ends_its_batch() {
    let server = Running::start(|config| {
        config.model.pack = common::mini_pack().to_str().unwrap().into();
        config.files.media_roots = vec![real_clip().parent().unwrap().to_path_buf()];
    });
    let requests: Vec<Value> = (0..50).map(|seed| json!({"path": real_clip(), "seed": seed})).collect();
    let body = json!({"requests": requests}).to_string();
    let stream = open(server.address(), "POST", "/v1/batch", &[JSON], body.as_bytes());
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("analysis") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    drop(reader);
    println!(
        "milliseconds from the end of the connection to a free slot: {:.0}",
        server.wait_idle().as_secs_f64() * 1e3
    );
    let other =
        open(server.address(), "POST", "/v1/analyze", &[JSON], json!({"path": real_clip()}).to_string().as_bytes());
    assert_eq!(read(other).status, 200);
}
