//! How often and how slowly one may call, over real sockets.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Running, PATIENCE};
use emotion_llama_server::access::keys;
use serde_json::json;

/// To standard error itself, past the harness, which keeps what tests that pass print.
macro_rules! say {
    ($($what:tt)*) => { drop(writeln!(std::io::stderr(), $($what)*)) };
}

fn ask() -> serde_json::Value {
    json!({"path": "clip.avi", "greedy": true, "max_new_tokens": 2})
}

#[test]
fn the_eleventh_call_in_a_minute_is_429() {
    let server = Running::start(|config| config.rates.per_address = Some("10/minute".into()));
    for left in (0..10).rev() {
        let reply = server.post("/v1/analyze", &ask());
        assert_eq!((reply.status, reply.header("ratelimit-remaining")), (200, Some(left.to_string().as_str())));
        assert_eq!(reply.header("ratelimit-limit"), Some("10"));
    }
    let refused = server.post("/v1/analyze", &ask());
    assert_eq!(refused.error(), (429, "overloaded".into()));
    assert!(refused.json()["error"].as_str().unwrap().contains("10 per 1 minute"));
    assert_eq!((refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")), (Some("10"), Some("0")));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && refused.header("ratelimit-reset") == Some(wait.to_string().as_str()));
    // The documented calls share the allowance, and what only looks is not counted.
    assert_eq!(server.post("/process_video", &json!({"video_path": "clip.avi", "question": "Why?"})).status, 429);
    assert_eq!(server.post("/api/predict/", &json!({"data": ["clip.avi", "Why?"]})).status, 429);
    assert_eq!(server.get("/v1/models").status, 200);
    assert!(server.get("/v1/models").header("ratelimit-limit").is_none());
}

#[test]
fn each_key_has_its_own_rate_and_the_address_does_not_count_then() {
    let (slow, fast, other) = (keys::new_key().unwrap(), keys::new_key().unwrap(), keys::new_key().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    keys::append(&path, &keys::entry("slow", &slow, Some("1/hour")).unwrap()).unwrap();
    keys::append(&path, &keys::entry("fast", &fast, Some("3/hour")).unwrap()).unwrap();
    keys::append(&path, &keys::entry("other", &other, None).unwrap()).unwrap();
    let server = Running::start(|config| {
        config.access.keys_file = Some(path);
        config.rates.per_key = Some("2/hour".into());
        config.rates.per_address = Some("1/hour".into());
    });
    let statuses = |key: &str| -> Vec<u16> {
        let headers = [("content-type", "application/json"), ("x-api-key", key)];
        (0..4).map(|_| server.send("POST", "/v1/analyze", &headers, ask().to_string().as_bytes()).status).collect()
    };
    assert_eq!(statuses(&slow), [200, 429, 429, 429]);
    assert_eq!(statuses(&fast), [200, 200, 200, 429]);
    assert_eq!(statuses(&other), [200, 200, 429, 429]);
}

#[test]
fn an_address_is_that_of_the_client_only_behind_a_trusted_proxy() {
    let statuses = |trusted: bool| -> Vec<u16> {
        let server = Running::start(|config| {
            config.rates.per_address = Some("1/hour".into());
            if trusted {
                config.access.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
            }
        });
        ["192.0.2.1", "192.0.2.2", "192.0.2.1", "9.9.9.9, 192.0.2.2"]
            .map(|address| {
                let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
                server.send("POST", "/v1/analyze", &headers, ask().to_string().as_bytes()).status
            })
            .into()
    };
    assert_eq!(statuses(true), [200, 200, 429, 429]);
    assert_eq!(statuses(false), [200, 429, 429, 429]);
}

#[test]
fn wrong_keys_are_not_tried_without_end_and_the_right_one_works_on() {
    let server = Running::start(|config| config.access.keys = vec!["a-key-of-a-test".into()]);
    let status = |key: &str| server.send("GET", "/v1/models", &[("x-api-key", key)], b"").status;
    let tried: Vec<u16> = (0..70).map(|number| status(&format!("guess-{number}"))).collect();
    assert_eq!((tried[0], tried[69]), (401, 429));
    assert_eq!(status("a-key-of-a-test"), 200);
}

#[test]
fn who_does_not_read_is_left() {
    let server = Running::start(|config| config.limits.idle_s = 0.3);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Answers without end, none of which is read.
    let request = format!("GET /openapi.json HTTP/1.1\r\nhost: {}\r\n\r\n", server.address()).repeat(2000);
    let _ = stream.write_all(request.as_bytes());
    std::thread::sleep(Duration::from_millis(1500));
    let mut answers = Vec::new();
    // What the system had taken, and then the end.
    let _ = stream.read_to_end(&mut answers);
    let count = answers.windows(15).filter(|part| part == b"HTTP/1.1 200 OK").count();
    say!("{count} of 2000 answers, {} bytes", answers.len());
    assert!(count < 2000);
    assert_eq!(server.get("/healthz").status, 200);
}
