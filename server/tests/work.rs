//! The queue, clients that go away, time that is over, and the end of the server.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use common::{clip_bytes, form, mini_pack, open, read, real_clip, Running, PATIENCE};
use emotion_llama_server::config::Config;
use serde_json::json;

/// A server with the built-in model, whose analyses take a while.
fn slow(change: impl FnOnce(&mut Config)) -> Running {
    Running::start(|config| {
        config.model.pack = mini_pack().to_str().unwrap().into();
        config.files.media_roots = vec![real_clip().parent().unwrap().to_path_buf()];
        config.queue.running = 1;
        // Every call is work, also one that asks what another one asks.
        config.cache.bytes = 0;
        change(config);
    })
}

fn asked() -> Vec<u8> {
    json!({"path": real_clip(), "task": "reason", "max_new_tokens": 500}).to_string().into_bytes()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

/// Begins an analysis and waits until it runs.
fn begin(server: &Running, headers: &[(&str, &str)]) -> TcpStream {
    let stream = open(server.address(), "POST", "/v1/analyze", headers, &asked());
    server.wait_for("a run", || server.app().queue.snapshot().running == 1);
    stream
}

#[test]
fn a_full_queue_refuses_with_the_time_to_come_back() {
    let server = slow(|config| config.queue.waiting = 1);
    let running = begin(&server, &[JSON]);
    let waiting = open(server.address(), "POST", "/v1/analyze", &[JSON], &asked());
    server.wait_for("a waiting call", || server.app().queue.snapshot().waiting == 1);
    for (target, headers, body) in [
        ("/v1/analyze", vec![JSON], asked()),
        ("/v1/analyze", vec![JSON, EVENTS], asked()),
        ("/v1/sessions", vec![JSON], asked()),
        ("/process_video", vec![JSON], json!({"video_path": real_clip(), "question": ""}).to_string().into_bytes()),
        ("/api/predict/", vec![JSON], json!({"data": [real_clip(), ""]}).to_string().into_bytes()),
    ] {
        let reply = server.send("POST", target, &headers, &body);
        assert_eq!(reply.error(), (503, "overloaded".into()), "{target}");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=120).contains(&seconds), "{target}: {seconds}");
    }
    let (kind, body) = form(&[("media", Some("a.avi"), &clip_bytes())]);
    assert_eq!(server.send("POST", "/v1/analyze", &[("content-type", &kind)], &body).status, 503);
    assert_eq!(server.get("/readyz").json()["waiting"], 1);
    assert_eq!((read(running).status, read(waiting).status), (200, 200));
    server.wait_idle();
}

#[test]
fn a_client_that_goes_away_frees_its_slot() {
    let server = slow(|_| {});
    let mut times = Vec::new();
    for headers in [vec![JSON], vec![JSON, EVENTS], vec![JSON], vec![JSON, EVENTS]] {
        let before = server.app().queue.snapshot().cancelled;
        let mut stream = begin(&server, &headers);
        if headers.len() > 1 {
            // Into the stream, so that an answer has begun.
            stream.read_exact(&mut [0; 200]).unwrap();
        }
        drop(stream);
        times.push(server.wait_idle().as_secs_f64() * 1e3);
        server.wait_for("the count", || server.app().queue.snapshot().cancelled == before + 1);
    }
    println!("milliseconds from the end of the connection to a free slot: {times:.0?}");
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_its_place() {
    let server = slow(|_| {});
    let running = begin(&server, &[JSON]);
    let waiting = open(server.address(), "POST", "/v1/analyze", &[JSON], &asked());
    server.wait_for("a waiting call", || server.app().queue.snapshot().waiting == 1);
    drop(waiting);
    server.wait_for("a free place", || server.app().queue.snapshot().waiting == 0);
    assert_eq!(read(running).status, 200);
    assert_eq!(server.app().queue.snapshot().cancelled, 1);
}

#[test]
fn time_that_is_over_is_504() {
    let server = slow(|config| config.limits.analysis_s = 0.02);
    let reply = server.send("POST", "/v1/analyze", &[JSON], &asked());
    assert_eq!(reply.error(), (504, "timeout".into()));
    server.wait_idle();
    let server = slow(|config| config.queue.wait_s = 0.01);
    let running = begin(&server, &[JSON]);
    assert_eq!(server.send("POST", "/v1/analyze", &[JSON], &asked()).error(), (503, "overloaded".into()));
    assert_eq!(read(running).status, 200);
}

#[test]
fn ending_a_session_stops_its_question() {
    let server = slow(|_| {});
    let opened = server.send("POST", "/v1/sessions", &[JSON], &asked()).json();
    let id = opened["id"].as_str().unwrap();
    let body = json!({"task": "reason"}).to_string();
    let running = open(server.address(), "POST", &format!("/v1/sessions/{id}/ask"), &[JSON], body.as_bytes());
    server.wait_for("a run", || server.app().queue.snapshot().running == 1);
    assert_eq!(server.send("DELETE", &format!("/v1/sessions/{id}"), &[], b"").status, 204);
    assert_eq!(read(running).error(), (404, "not_found".into()));
    server.wait_idle();
}

#[test]
fn a_server_that_is_told_to_stop_finishes_what_runs() {
    let mut server = slow(|_| {});
    let running = begin(&server, &[JSON]);
    let address = server.address();
    server.stop();
    assert_eq!(read(running).status, 200);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_runs_beyond_the_grace_is_stopped() {
    let mut server = slow(|config| config.listen.grace_s = 0.05);
    let mut running = begin(&server, &[JSON, EVENTS]);
    server.stop();
    let mut text = String::new();
    let _ = running.read_to_string(&mut text);
    assert!(!text.contains("event: result"), "{text}");
}

#[test]
fn heads_and_bodies_that_do_not_come_are_given_up() {
    let server = Running::start(|config| {
        config.limits.head_s = 0.2;
        config.limits.idle_s = 0.2;
    });
    // Nothing at all, and half a head: the connection ends.
    for part in ["", "POST /v1/analyze HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    // A body that stops: told so.
    for kind in ["application/json", "multipart/form-data; boundary=x"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /v1/analyze HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: 100\r\n\r\n--x\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read(stream).error(), (408, "invalid_argument".into()), "{kind}");
    }
    server.wait_for("the end of all uploads", || server.app().files.uploads.total_bytes() == 0);
}

#[test]
fn many_clients_at_once() {
    let server = Running::start(|config| config.queue.waiting = 8);
    let began = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let call = || server.post("/v1/analyze", &json!({"path": "clip.avi", "max_new_tokens": 4})).status;
        let calls: Vec<_> = (0..32).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    println!("{} answered, {} refused in {:.2} s", count(200), count(503), began.elapsed().as_secs_f64());
    assert_eq!(count(200) + count(503), 32);
    assert!(count(200) >= 1);
    server.wait_idle();
    assert_eq!(server.post("/v1/analyze", &json!({"path": "clip.avi"})).status, 200);
}
