//! Gradio's protocol, as unmodified clients speak it. The requests in `gradio/exchanges.json` are those that such clients and plain programs
//! were recorded with against Gradio's own servers; the answers are compared in shape.

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use common::{clip_bytes, form, mini_pack, open, real_clip, Reply, Running};
use emotion_llama_server::config::Config;
use serde_json::{json, Value};

const JSON: (&str, &str) = ("content-type", "application/json");
const REASON: &str =
    "[reason] Please analyze all the clues in the video and reason out the emotional label of the person.";

/// Whether `value` is what `shape` says. `<text>`, `<number>`, `<number?>`, `<id>` and `<object>` stand for any of that kind. Without `exact`,
/// objects may have further fields.
fn fits(shape: &Value, value: &Value, exact: bool) -> Result<(), String> {
    let no = || Err(format!("{value} instead of {shape}"));
    let ok = |is_so: bool| if is_so { Ok(()) } else { no() };
    match (shape, value) {
        (Value::String(kind), _) if kind.starts_with('<') => match kind.as_str() {
            "<text>" => ok(value.is_string()),
            "<number>" => ok(value.is_number()),
            "<number?>" => ok(value.is_number() || value.is_null()),
            "<object>" => ok(value.is_object()),
            "<id>" => {
                ok(value.as_str().is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())))
            }
            other => panic!("{other} is no kind"),
        },
        (Value::Object(shape), Value::Object(fields)) => {
            for (name, shape) in shape {
                let value = fields.get(name).ok_or_else(|| format!("no {name} in {value}"))?;
                fits(shape, value, exact).map_err(|error| format!("{name}: {error}"))?;
            }
            match fields.keys().find(|name| exact && !shape.contains_key(*name)) {
                Some(name) => Err(format!("{name} is there too")),
                None => Ok(()),
            }
        }
        (Value::Array(shapes), Value::Array(values)) if shapes.len() == values.len() => {
            shapes.iter().zip(values).try_for_each(|(shape, value)| fits(shape, value, exact))
        }
        _ => ok(shape == value),
    }
}

/// Whether `values` are what `shapes` say, one after the other; a shape that may be repeated stands for any number of values.
fn fit_all(shapes: &[(Value, bool)], values: &[Value]) -> Result<(), String> {
    let mut values = values.iter().peekable();
    for (shape, is_repeated) in shapes {
        if *is_repeated {
            while values.next_if(|value| fits(shape, value, true).is_ok()).is_some() {}
        } else {
            fits(shape, values.next().ok_or_else(|| format!("no {shape}"))?, true)?;
        }
    }
    values.next().map_or(Ok(()), |value| Err(format!("{value} is there too")))
}

/// The messages of a session's stream. No other line may be there: Python's clients end at one.
fn messages(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    assert!(text.ends_with("\n\n") && !text.contains('\r'), "{text:?}");
    text.trim_end().split("\n\n").map(message).collect()
}

fn message(line: &str) -> Value {
    let data = line.strip_prefix("data: ").unwrap_or_else(|| panic!("{line:?} is no message"));
    serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Sends what `step` says, with what was kept of earlier answers.
fn send(server: &Running, step: &Value, kept: &HashMap<String, String>) -> Reply {
    let text = |value: &Value| {
        let text = value.as_str().unwrap().to_owned();
        kept.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let (method, target) = (text(&step["send"][0]), text(&step["send"][1]));
    match &step["send"][2] {
        Value::Null => server.send(&method, &target, &[], b""),
        Value::String(body) => server.send(&method, &target, &[JSON], body.as_bytes()),
        body => server.send(&method, &target, &[JSON], body.to_string().as_bytes()),
    }
}

#[test]
fn recorded_exchanges() {
    let server = Running::start(|_| {});
    let exchanges: Vec<Value> = serde_json::from_str(include_str!("gradio/exchanges.json")).unwrap();
    for exchange in &exchanges {
        let mut kept = HashMap::new();
        for (number, step) in exchange["steps"].as_array().unwrap().iter().enumerate() {
            let reply = send(&server, step, &kept);
            if let Err(error) = compare(step, &reply, &kept) {
                panic!("{}, step {}: {error}\n{} {}", exchange["name"], number + 1, reply.status, reply.text());
            }
            for (name, field) in step["keep"].as_object().into_iter().flatten() {
                kept.insert(name.clone(), reply.json()[field.as_str().unwrap()].as_str().unwrap().to_owned());
            }
        }
    }
    server.wait_idle();
}

fn compare(step: &Value, reply: &Reply, kept: &HashMap<String, String>) -> Result<(), String> {
    fits(&step["status"], &reply.status.into(), true)?;
    if let Some(kind) = step["type"].as_str() {
        fits(&kind.into(), &reply.header("content-type").unwrap_or_default().into(), true)?;
    }
    for (way, is_exact) in [("is", true), ("has", false)] {
        if let Some(shape) = step.get(way) {
            fits(shape, &reply.json(), is_exact)?;
        }
    }
    for name in step["lacks"].as_array().into_iter().flatten() {
        if reply.json().get(name.as_str().unwrap()).is_some() {
            return Err(format!("{name} is there"));
        }
    }
    if let Some(shapes) = step["messages"].as_array() {
        let filled = |shape: &Value| {
            let text = kept.iter().fold(shape.to_string(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id));
            let mut shape: Value = serde_json::from_str(&text).unwrap();
            let is_repeated = shape.as_object_mut().unwrap().shift_remove("*").is_some();
            (shape, is_repeated)
        };
        fit_all(&shapes.iter().map(filled).collect::<Vec<_>>(), &messages(reply))?;
    }
    if let Some(shapes) = step["events"].as_array() {
        let shapes: Vec<_> = shapes.iter().map(|shape| (json!([shape[0], shape[1]]), shape[2] == "*")).collect();
        let events: Vec<_> = reply.events().into_iter().map(|(name, data)| json!([name, data])).collect();
        fit_all(&shapes, &events)?;
    }
    Ok(())
}

/// Joins the queue with the mini pack's clip, or `data`.
fn join(server: &Running, session: &str, data: Value) -> String {
    let reply = server.post("/queue/join", &json!({"fn_index": 0, "session_hash": session, "data": data}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["event_id"].as_str().unwrap().to_owned()
}

/// A session's stream that is read message by message.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(server: &Running, session: &str) -> Self {
        Self(BufReader::new(open(server.address(), "GET", &format!("/queue/data?session_hash={session}"), &[], b"")))
    }

    /// The next message called `name`.
    fn wait(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended before {name}");
            if line.starts_with("data: ") {
                let message = message(line.trim_end());
                if message["msg"] == name {
                    return message;
                }
            }
        }
    }
}

/// A server with the built-in model, whose answers take a while.
fn slow(change: impl FnOnce(&mut Config)) -> Running {
    Running::start(|config| {
        config.model.pack = mini_pack().to_str().unwrap().into();
        config.files.media_roots = vec![real_clip().parent().unwrap().to_path_buf()];
        config.queue.running = 1;
        // Every question is work, also one that was asked before.
        config.cache.bytes = 0;
        change(config);
    })
}

fn slow_question() -> Value {
    json!([real_clip(), REASON])
}

#[test]
fn pieces_add_up_to_the_answer_of_the_direct_call() {
    let server = slow(|_| {});
    join(&server, "p", slow_question());
    let all = messages(&server.get("/queue/data?session_hash=p"));
    let mut text = String::new();
    for (number, message) in all.iter().filter(|message| message["msg"] == "process_generating").enumerate() {
        let piece = &message["output"]["data"][0];
        text.push_str(if number == 0 { piece.as_str().unwrap() } else { piece[0][2].as_str().unwrap() });
    }
    let completed = all.iter().find(|message| message["msg"] == "process_completed").unwrap();
    let answer = completed["output"]["data"][0].as_str().unwrap();
    assert!(answer.len() > 40, "{answer}");
    assert_eq!(text.trim(), answer);
    let direct = server.post("/api/predict/", &json!({"data": slow_question()}));
    assert_eq!(direct.json()["data"][0], answer);
    let event = server.post("/call/predict", &json!({"data": slow_question()})).json()["event_id"].clone();
    let (name, data) = server.get(&format!("/call/predict/{}", event.as_str().unwrap())).events().pop().unwrap();
    assert_eq!((name.as_str(), data), ("complete", json!([answer])));
}

#[test]
fn one_stream_tells_of_all_jobs_of_a_session_and_of_no_other() {
    let server = slow(|_| {});
    let (first, second) =
        (join(&server, "t1", slow_question()), join(&server, "t1", json!([real_clip(), "[emotion]"])));
    let other = join(&server, "t2", json!([real_clip(), "[emotion]"]));
    let all = messages(&server.get("/queue/data?session_hash=t1"));
    let of = |id: &str| -> Vec<&str> {
        let names =
            all.iter().filter(|message| message["event_id"] == id).map(|message| message["msg"].as_str().unwrap());
        names.filter(|name| *name != "process_generating").collect()
    };
    assert_eq!(of(&first), ["estimation", "process_starts", "process_completed"]);
    assert!(of(&second).ends_with(&["estimation", "process_starts", "process_completed"]), "{all:?}");
    assert!(of(&other).is_empty());
    let ranks: Vec<_> =
        all.iter().filter(|message| message["event_id"] == *second && message["msg"] == "estimation").collect();
    assert!(ranks.windows(2).all(|pair| pair[0]["rank"].as_u64() > pair[1]["rank"].as_u64()), "{ranks:?}");
    let closes: Vec<_> = all.iter().enumerate().filter(|(_, message)| message["msg"] == "close_stream").collect();
    assert_eq!(closes.len(), 1);
    assert_eq!(closes[0].0, all.len() - 1);
    assert_eq!(messages(&server.get("/queue/data?session_hash=t2")).last().unwrap()["msg"], "close_stream");
}

#[test]
fn a_job_that_joins_while_the_stream_is_open_is_told_there() {
    let server = slow(|_| {});
    join(&server, "o", slow_question());
    let mut stream = Stream::open(&server, "o");
    stream.wait("process_generating");
    let second = join(&server, "o", json!([real_clip(), "[emotion]"]));
    while stream.wait("process_completed")["event_id"] != *second {}
    stream.wait("close_stream");
    let mut rest = Vec::new();
    stream.0.read_to_end(&mut rest).unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("data:"), "{rest:?}");
}

#[test]
fn a_cancelled_job_completes_with_nothing_and_frees_its_slot() {
    let server = slow(|_| {});
    let event = join(&server, "k1", slow_question());
    let mut stream = Stream::open(&server, "k1");
    stream.wait("process_starts");
    let waits = join(&server, "k1", slow_question());
    for (path, event) in [("/cancel", &waits), ("/cancel", &event), ("/reset", &event)] {
        let reply = server.post(path, &json!({"fn_index": 0, "session_hash": "k1", "event_id": event}));
        assert_eq!(reply.json(), json!({"success": true}));
    }
    for _ in 0..2 {
        let completed = stream.wait("process_completed");
        assert_eq!((&completed["output"], &completed["success"]), (&json!({}), &json!(true)));
    }
    stream.wait("close_stream");
    println!("milliseconds until the slot was free: {:.0}", server.wait_idle().as_secs_f64() * 1e3);
}

#[test]
fn a_client_that_goes_away_frees_its_slots() {
    let server = slow(|_| {});
    for session in ["d1", "d2"] {
        join(&server, session, slow_question());
        join(&server, session, slow_question());
        let mut stream = Stream::open(&server, session);
        stream.wait("process_starts");
        drop(stream);
        println!("milliseconds until the slots were free: {:.0}", server.wait_idle().as_secs_f64() * 1e3);
    }
    let event = server.post("/call/predict", &json!({"data": slow_question()})).json()["event_id"].clone();
    let mut stream = open(server.address(), "GET", &format!("/call/predict/{}", event.as_str().unwrap()), &[], b"");
    server.wait_for("a run", || server.app().queue.snapshot().running == 1);
    stream.read_exact(&mut [0; 20]).unwrap();
    drop(stream);
    println!("milliseconds until the slot was free: {:.0}", server.wait_idle().as_secs_f64() * 1e3);
    assert_eq!(messages(&server.get("/queue/data?session_hash=d1"))[0]["msg"], "unexpected_error");
}

#[test]
fn a_full_queue_refuses_the_join() {
    let server = slow(|config| config.queue.waiting = 1);
    let data = slow_question();
    join(&server, "f", data.clone());
    server.wait_for("a run", || server.app().queue.snapshot().running == 1);
    join(&server, "f", data.clone());
    for (path, body) in [
        ("/queue/join", json!({"fn_index": 0, "session_hash": "f", "data": data})),
        ("/queue/join", json!({"fn_index": 0, "session_hash": "g", "data": data})),
        ("/call/predict", json!({"data": data})),
    ] {
        let reply = server.post(path, &body);
        assert_eq!(reply.error(), (503, "overloaded".into()), "{path}");
        assert!(reply.header("retry-after").is_some());
    }
    // What was refused is not waited for: the stream ends with the jobs that were taken.
    let all = messages(&server.get("/queue/data?session_hash=f"));
    assert_eq!(all.iter().filter(|message| message["msg"] == "process_completed").count(), 2);
    assert_eq!(messages(&server.get("/queue/data?session_hash=g"))[0]["msg"], "unexpected_error");
}

#[test]
fn uploads_are_named_by_their_path_and_by_nothing_else() {
    let server = Running::start(|_| {});
    let (kind, body) = form(&[
        ("files", Some("../clip one.avi"), &clip_bytes()),
        ("files", Some("视频.html"), b"<script>"),
        ("file", Some("other.avi"), b"other"),
    ]);
    let reply = server.send("POST", "/upload?upload_id=up1", &[("content-type", &kind)], &body);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text());
    let paths: Vec<String> = serde_json::from_value(reply.json()).unwrap();
    assert_eq!(paths.len(), 2);
    assert!(paths[0].ends_with("/clip one.avi") && paths[1].ends_with("/视频.html"), "{paths:?}");

    let value = json!({"path": paths[0], "orig_name": "clip one.avi", "meta": {"_type": "gradio.FileData"}});
    join(&server, "u", json!([value, "[emotion]"]));
    let all = messages(&server.get("/queue/data?session_hash=u"));
    assert_eq!(all[all.len() - 2]["success"], true, "{all:?}");
    assert_eq!(server.post("/api/predict/", &json!({"data": [paths[0], "[emotion]"]})).status, 200);

    let encoded = |path: &str| path.bytes().map(|b| format!("%{b:02x}")).collect::<String>().replace("%2f", "/");
    for prefix in ["", "/gradio_api"] {
        let target = format!("{prefix}/file={}", encoded(&paths[0]));
        let whole = server.get(&target);
        assert_eq!((whole.status, &whole.body), (200, &clip_bytes()));
        assert_eq!(whole.header("content-type"), Some("video/x-msvideo"));
        assert_eq!(whole.header("content-disposition"), Some("inline; filename*=utf-8''clip%20one.avi"));
        assert_eq!(whole.header("accept-ranges"), Some("bytes"));
        let part = server.send("GET", &target, &[("range", "bytes=4-9"), ("x-other", "1")], b"");
        assert_eq!((part.status, part.body.as_slice()), (206, &clip_bytes()[4..10]));
        assert_eq!(part.header("content-range"), Some(format!("bytes 4-9/{}", clip_bytes().len()).as_str()));
        assert_eq!((part.header("x-other"), part.header("range")), (None, None));
        assert_eq!(server.send("GET", &target, &[("range", "bytes=999999999-")], b"").status, 416);
    }
    let page = server.get(&format!("/file={}", encoded(&paths[1])));
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/octet-stream")));
    assert!(page.header("content-disposition").unwrap().starts_with("attachment;"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));

    let dir = paths[0].trim_end_matches("/clip one.avi");
    for other in [dir, &format!("{dir}/../clip one.avi"), &paths[0][1..], &format!("{}/", paths[0])] {
        assert_eq!(server.get(&format!("/file={}", encoded(other))).status, 403, "{other}");
    }
    let (kind, body) = form(&[("file", Some("other.avi"), b"other")]);
    assert_eq!(server.send("POST", "/upload", &[("content-type", &kind)], &body).json(), json!([]));
}

#[test]
fn uploads_are_bounded() {
    let server = Running::start(|config| config.limits.upload_bytes = 1000);
    let (kind, body) = form(&[("files", Some("small"), &[1; 900]), ("files", Some("large"), &[1; 1001])]);
    let reply = server.send("POST", "/upload", &[("content-type", &kind)], &body);
    assert_eq!(reply.error(), (413, "media_too_large".into()));
    server.wait_for("nothing kept of a form that failed", || server.app().files.uploads.total_bytes() == 0);
    let many: Vec<_> = (0..17).map(|_| ("files", Some("a"), &b"a"[..])).collect();
    let (kind, body) = form(&many);
    assert_eq!(server.send("POST", "/upload", &[("content-type", &kind)], &body).status, 400);
    let mut broken =
        open(server.address(), "POST", "/upload", &[("content-type", &kind), ("content-length", "5000")], b"");
    broken.write_all(&body).unwrap();
    broken.shutdown(std::net::Shutdown::Write).unwrap();
    drop(broken);
    server.wait_for("no bytes", || server.app().files.uploads.total_bytes() == 0);
}

#[test]
fn the_heartbeat_begins_at_once_and_ends_with_the_server() {
    let mut server = Running::start(|_| {});
    let mut stream = BufReader::new(open(server.address(), "GET", "/heartbeat/abc123", &[], b""));
    let mut line = String::new();
    while !line.contains("data: ALIVE") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
    }
    server.stop();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_stream_that_is_open_is_finished_when_the_server_stops() {
    let mut server = slow(|_| {});
    join(&server, "stop", slow_question());
    let mut stream = Stream::open(&server, "stop");
    stream.wait("process_starts");
    let reading = std::thread::spawn(move || {
        let completed = stream.wait("process_completed");
        stream.wait("close_stream");
        completed
    });
    server.stop();
    assert_eq!(reading.join().unwrap()["success"], true);
}
