//! Servers of all three protocols, and servers that mean harm.

mod remote_server;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::event::Event;
use emotion_llama_core::face::FramePick;
use emotion_llama_core::media::{decode, Clip, Frame, Limits, Sampling, Waveform};
use emotion_llama_core::remote::{Remote, RemoteOptions, Upload};
use emotion_llama_core::request::{ClipRequest, Question, Request, Transcript};
use emotion_llama_core::{CancelToken, Error, ErrorKind};
use remote_server::{json, Received, Reply, Server};
use serde_json::{json as value, Value};

const KEY: &str = "sk-geheim-0123456789";

fn options() -> RemoteOptions {
    RemoteOptions { timeout_s: 20.0, ..RemoteOptions::default() }
}

fn open(server: &Server) -> Remote {
    Remote::open(&server.url(), &options(), &CancelToken::new()).unwrap()
}

fn ask(remote: &Remote, request: &Request) -> Result<Analysis, Error> {
    remote.analyze(request, &CancelToken::new(), &mut |_| {})
}

/// The stages and texts that an analysis told of.
fn told(remote: &Remote, request: &Request) -> (Result<Analysis, Error>, Vec<String>) {
    let mut told = Vec::new();
    let outcome = remote.analyze(request, &CancelToken::new(), &mut |event| {
        told.push(match event {
            Event::Stage(stage) => format!("[{stage}]"),
            Event::Label(label) => format!("<{} {}>", label.emotion, label.confidence),
            Event::Text(text) => text.to_owned(),
        })
    });
    (outcome, told)
}

fn note<'a>(analysis: &'a Analysis, name: &str) -> Option<&'a str> {
    analysis.notes.iter().find(|note| note.name == name).map(|note| note.message.as_str())
}

// ---- version 1 ----

fn result() -> Value {
    value!({
        "response": "The person feels happy.", "emotion": "happy", "confidence": 0.75, "probabilities": {"happy": 0.75, "sad": 0.25},
        "explanation": "", "transcript": "Good day", "faces": [{"box": {"x": 1, "y": 2, "width": 3, "height": 4}, "score": 0.9, "track": 0,
        "time_s": 0.5}], "frame": {"time_s": 0.5, "index": 1, "face": {"x": 1, "y": 2, "width": 3, "height": 4}}, "cues": [],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "timings_ms": {"decode": 1.0, "total": 9.0},
        "model": {"name": "emotion-llama-mini", "version": "1", "digest": "ab"}, "notes": [], "of_a_later_release": 1
    })
}

fn models() -> Reply {
    let model = value!({"id": "emotion-llama-mini", "object": "model", "labels": ["happy", "sad"], "tasks": ["emotion", "reason"],
        "devices": ["cpu"], "architecture": "cues", "version": "1", "digest": "ab"});
    let body = value!({"object": "list", "data": [model]}).to_string().into_bytes();
    let headers = vec![("content-type", "application/json".into()), ("x-api-version", "1.0".into())];
    Reply::Whole(200, headers, body)
}

fn events(text: String) -> Reply {
    Reply::Whole(200, vec![("content-type", "text/event-stream; charset=utf-8".into())], text.into_bytes())
}

fn stream() -> String {
    format!(
        ": hello\n\nevent: stage\ndata: {}\n\nevent: stage\ndata: {}\n\nevent: label\ndata: {}\n\nevent: label\ndata: {}\n\nevent: text\ndata: {}\n\nevent: text\ndata: {}\n\nevent: result\ndata: {}\n\n",
        value!({"type": "stage", "stage": "decode"}),
        value!({"type": "stage", "stage": "of a later release"}),
        value!({"type": "label", "emotion": "happy", "confidence": 0.75, "probabilities": {"happy": 0.75, "sad": 0.25}}),
        value!({"type": "label", "of_a_later_release": ["happy"]}),
        value!({"type": "text", "text": "The person "}),
        value!({"type": "text", "text": "feels happy."}),
        value!({"type": "result", "analysis": result()}),
    )
}

fn failure(status: u16, code: &str, details: Value) -> Reply {
    json(status, value!({"error": format!("sentence of {code}"), "code": code, "details": details}))
}

/// Our own server, with `answer` for what is not `/v1/models`.
fn v1(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Server {
    Server::new(move |received| if received.target == "/v1/models" { models() } else { answer(received) })
}

#[test]
fn v1_events_and_result() {
    let server = v1(|_| events(stream()));
    let remote = open(&server);
    let info = remote.info();
    assert_eq!(
        (&info["protocol"], &info["url"], &info["pack"]["name"]),
        (&value!("v1"), &value!(server.url()), &value!("emotion-llama-mini"))
    );
    assert_eq!((&info["labels"], &info["api_version"]), (&value!(["happy", "sad"]), &value!("1.0")));
    let request = Request { transcript: Transcript::None, ..Request::new("/nonexistent/on-the-server.mp4") };
    let (analysis, told) = told(&remote, &request);
    let analysis = analysis.unwrap();
    assert_eq!(told, ["[decode]", "<happy 0.75>", "The person ", "feels happy."]);
    assert_eq!(
        (analysis.emotion.as_str(), analysis.confidence, analysis.transcript.as_deref()),
        ("happy", Some(0.75), Some("Good day"))
    );
    assert_eq!(analysis.model.name, "emotion-llama-mini");
    assert!(analysis.timings_ms.total > 0.0 && analysis.timings_ms.total != 9.0);
    let sent = &server.received_at("/v1/analyze")[0];
    assert_eq!(sent.json(), value!({"path": "/nonexistent/on-the-server.mp4", "transcript": "none"}));
    assert_eq!(sent.headers["content-type"], "application/json");
    assert!(sent.headers["accept"].starts_with("text/event-stream"));
    assert!(sent.headers["user-agent"].starts_with("emotion-llama/"));
    assert_eq!(sent.headers.get("authorization"), None);
}

#[test]
fn v1_a_plain_answer_and_a_stream_in_pieces_are_read_too() {
    let plain = v1(|_| json(200, result()));
    assert_eq!(ask(&open(&plain), &Request::new("a.mp4")).unwrap().emotion, "happy");
    let pieces = v1(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let text = stream().into_bytes();
        let chunks =
            text.chunks(7).map(|chunk| (1, [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()));
        Reply::Raw([(0, head)].into_iter().chain(chunks).chain([(0, b"0\r\n\r\n".to_vec())]).collect())
    });
    let (analysis, told) = told(&open(&pieces), &Request::new("a.mp4"));
    assert_eq!((analysis.unwrap().emotion.as_str(), told.len()), ("happy", 4));
}

#[test]
fn v1_files_and_bytes_are_uploaded() {
    let server = v1(|_| json(200, result()));
    let remote = open(&server);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a clip.mp4");
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let (analysis, told) = told(&remote, &Request { frame: FramePick::First, ..Request::new(path.as_path()) });
    assert_eq!((analysis.unwrap().emotion.as_str(), told), ("happy", vec!["[upload]".to_owned()]));
    ask(&remote, &Request::new(b"RIFF....WAVEfmt".to_vec())).unwrap();
    let sent = server.received_at("/v1/analyze");
    let contains = |received: &Received, text: &str| received.text().contains(text);
    assert!(sent[0].headers["content-type"].starts_with("multipart/form-data; boundary="));
    assert_eq!(sent[0].headers["expect"], "100-continue");
    assert!(contains(&sent[0], "name=\"request\"\r\nContent-Type: application/json\r\n\r\n{\"frame\":\"first\"}\r\n"));
    assert!(contains(&sent[0], "name=\"media\"; filename=\"a clip.mp4\"\r\n"));
    assert!(sent[0].body.windows(content.len()).any(|window| window == content));
    assert!(contains(&sent[1], "filename=\"clip.wav\"") && contains(&sent[1], "\r\n\r\n{}\r\n"));
    // The server's own files.
    let never = Remote::open(&server.url(), &RemoteOptions { upload: Upload::Never, ..options() }, &CancelToken::new())
        .unwrap();
    ask(&never, &Request::new(path.as_path())).unwrap();
    assert_eq!(server.received_at("/v1/analyze")[2].json(), value!({"path": path}));
    // What cannot be sent is not.
    let limits = Limits { max_bytes: Some(10), ..Limits::default() };
    assert_eq!(
        ask(&remote, &Request { limits, ..Request::new(path.as_path()) }).unwrap_err().name(),
        "media_too_large"
    );
    assert_eq!(ask(&remote, &Request::new(Vec::new())).unwrap_err().name(), "media_undecodable");
    assert_eq!(server.received_at("/v1/analyze").len(), 3);
}

#[test]
fn v1_every_error_comes_back_as_its_kind() {
    for kind in ErrorKind::ALL {
        let server = v1(move |_| failure(kind.http_status(), kind.name(), value!({"limit": 3})));
        let error = ask(&open(&server), &Request::new("a.mp4")).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains("sentence of") && error.message.contains("\"limit\":3"), "{error}");
        let data = value!({"error": "in the stream", "code": kind.name(), "details": null});
        let server = v1(move |_| events(format!("event: error\ndata: {data}\n\n")));
        let error = ask(&open(&server), &Request::new("a.mp4")).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, "in the stream"));
    }
}

#[test]
fn statuses_without_our_body_have_a_kind_and_say_what_to_do() {
    let wait = || Reply::Whole(429, vec![("retry-after", "17".into())], Vec::new());
    type Make = fn() -> Reply;
    let cases: [(Make, &str, &str); 12] = [
        (|| json(401, value!({"error": "Invalid API key"})), "invalid_argument", "api_key"),
        (|| json(403, value!({"detail": "no"})), "invalid_argument", "api_key"),
        (
            || json(422, value!({"detail": [{"loc": ["body", "x"], "msg": "Field required"}]})),
            "invalid_argument",
            "body.x: Field required",
        ),
        (|| json(404, value!({"detail": "Not Found"})), "unreachable", "does not know /v1/analyze"),
        (|| Reply::Whole(413, vec![], vec![]), "media_too_large", "too large"),
        (|| Reply::Whole(415, vec![], vec![]), "media_undecodable", "kind of clip"),
        (|| Reply::Whole(500, vec![], b"<html>".to_vec()), "internal", "does not say why"),
        (|| json(500, value!({"error": "boom\nboom"})), "internal", "boom boom"),
        (|| Reply::Whole(502, vec![], vec![]), "unreachable", "gateway"),
        (|| Reply::Whole(504, vec![], vec![]), "timeout", "gave up"),
        (|| Reply::Whole(503, vec![("retry-after", "3".into())], vec![]), "overloaded", "try again in 3 s"),
        (|| Reply::Whole(418, vec![], vec![]), "unreachable", "418"),
    ];
    for (reply, name, words) in cases {
        let server = v1(move |_| reply());
        let error = ask(&open(&server), &Request::new("a.mp4")).unwrap_err();
        assert!(error.name() == name && error.message.contains(words), "{name} {words}: {} {error}", error.name());
        assert!(error.message.contains("127.0.0.1"), "{error}");
    }
    let server = v1(move |_| wait());
    let error = ask(&open(&server), &Request::new("a.mp4")).unwrap_err();
    assert!(error.name() == "overloaded" && error.message.contains("17 s"), "{error}");
}

#[test]
fn v1_sessions() {
    let server = v1(|received| match (received.method.as_str(), received.target.as_str()) {
        ("POST", "/v1/sessions") => json(201, value!({"id": "s-1_A", "expires_s": 60})),
        ("POST", "/v1/sessions/s-1_A/ask") if received.text().contains("forgotten") => {
            failure(404, "not_found", Value::Null)
        }
        ("POST", "/v1/sessions/s-1_A/ask") => events(stream()),
        ("POST", "/v1/sessions/s-1_A/reset") | ("DELETE", "/v1/sessions/s-1_A") => Reply::Whole(204, vec![], vec![]),
        _ => failure(404, "not_found", Value::Null),
    });
    let remote = open(&server);
    let cancel = CancelToken::new();
    let mut session = remote.session(&Request::new("a.mp4"), &cancel).unwrap();
    let question = |prompt: &str| Question { prompt: Some(prompt.into()), ..Question::default() };
    let mut text = String::new();
    let analysis = session
        .ask(&question("Why?"), &cancel, &mut |event| {
            if let Event::Text(piece) = event {
                text += piece;
            }
        })
        .unwrap();
    assert_eq!(text, analysis.response);
    assert_eq!(session.ask(&question("forgotten"), &cancel, &mut |_| {}).unwrap_err().name(), "not_found");
    session.reset(&cancel).unwrap();
    drop(session);
    let calls: Vec<String> =
        server.received().iter().skip(1).map(|r| format!("{} {} {}", r.method, r.target, r.text())).collect();
    assert_eq!(
        calls,
        [
            "POST /v1/sessions {\"path\":\"a.mp4\"}",
            "POST /v1/sessions/s-1_A/ask {\"prompt\":\"Why?\"}",
            "POST /v1/sessions/s-1_A/ask {\"prompt\":\"forgotten\"}",
            "POST /v1/sessions/s-1_A/reset ",
            "DELETE /v1/sessions/s-1_A "
        ]
    );
    for id in [value!("a/../b"), value!(""), value!(7), value!("x".repeat(200))] {
        let server = v1(move |_| json(201, value!({"id": id})));
        assert_eq!(open(&server).session(&Request::new("a.mp4"), &cancel).unwrap_err().name(), "unreachable");
    }
}

#[test]
fn v1_a_live_clip_is_sent_as_a_file_and_the_answer_is_put_back_on_it() {
    let server = v1(|_| json(200, result()));
    let frame = |time_s: f64, index| Frame {
        width: 32,
        height: 24,
        rgb: vec![90; 32 * 24 * 3],
        time_s,
        index,
        source_width: 64,
        source_height: 48,
        #[cfg(feature = "cuda")]
        on_device: None,
    };
    let clip = Clip {
        frames: vec![frame(0.0, 3), frame(0.5012, 8)],
        pairs: Vec::new(),
        audio: Some(Waveform { samples: vec![0.25; 16_000] }),
        duration_s: 1.0,
        has_video: true,
        has_audio: true,
        video_span_s: (0.0, 1.0),
        rotation_deg: 0,
        frame_count: 2,
        frames_decoded: 2,
        notes: Vec::new(),
    };
    let analysis =
        open(&server).analyze_clip(&clip, &ClipRequest::default(), &CancelToken::new(), &mut |_| {}).unwrap();
    let frame = analysis.frame.unwrap();
    assert_eq!((frame.time_s, frame.index, frame.face.unwrap().x, analysis.faces[0].bbox.width), (0.5012, 8, 2.0, 6.0));
    let sent = &server.received_at("/v1/analyze")[0].body;
    let start = sent.windows(4).position(|window| window == [0x1a, 0x45, 0xdf, 0xa3]).unwrap();
    let end = sent.windows(4).rposition(|window| window == b"\r\n--").unwrap();
    let again =
        decode(&sent[start..end].into(), &Sampling::default(), &Limits::default(), &CancelToken::new()).unwrap();
    assert_eq!((again.frames.len(), again.audio.unwrap().samples.len()), (2, 16_000));
    let empty = Clip { frames: Vec::new(), audio: None, ..clip };
    let error =
        open(&server).analyze_clip(&empty, &ClipRequest::default(), &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.name(), "invalid_argument");
}

// ---- the published servers ----

const ANSWER: &str =
    "The person in the video displays furrowed brows and a tense facial expression (AU04 + AU07), indicating frustration or anger. 情绪：愤怒";
const ABSENT: &str = "错误：视频文件不存在。";

/// As gradio 4.44.1, 5.50.0 and 6.31.0 answer.
fn gradio(prefix: &'static str, function: &'static str) -> Server {
    Server::new(move |received| {
        let target = received.target.as_str();
        let own = target.strip_prefix(prefix).unwrap_or("elsewhere");
        if target == "/config" {
            let dependencies = value!([{"id": 0, "inputs": [0, 1], "api_name": function}, {"id": 1, "inputs": [0], "api_name": "lambda"}]);
            let mut config =
                value!({"version": "4.44.1", "mode": "interface", "components": [], "dependencies": dependencies});
            if !prefix.is_empty() {
                config["api_prefix"] = prefix.into();
            }
            return json(200, config);
        }
        if own == "/upload" {
            return json(200, value!(["/tmp/gradio/72bd93/clip one.mp4"]));
        }
        if own != format!("/api/{function}/") {
            return json(404, value!({"detail": "Not Found"}));
        }
        let data = &received.json()["data"];
        let (path, prompt) = (data[0].as_str().unwrap(), data[1].as_str().unwrap());
        let text = match prompt {
            _ if path.contains("missing") => ABSENT.to_owned(),
            "raise" => return json(500, value!({"error": null})),
            "show" => return json(500, value!({"error": "'CUDA out of memory'", "duration": 10, "visible": true})),
            "shape" => return json(200, value!({"data": []})),
            "echo" => format!("{path}|{prompt}"),
            prompt if prompt.starts_with("[emotion]") => "happy".into(),
            _ => ANSWER.into(),
        };
        json(
            200,
            value!({"data": [text], "is_generating": false, "duration": 1.23, "average_duration": 1.23, "render_config": null,
            "changed_state_ids": []}),
        )
    })
}

fn prompted(path: &str, prompt: &str) -> Request {
    Request { question: Question { prompt: Some(prompt.into()), ..Question::default() }, ..Request::new(path) }
}

#[test]
fn gradio_gives_text_and_what_it_does_not_tell_is_unknown() {
    for (prefix, function) in [("", "predict"), ("/gradio_api", "predict"), ("/gradio_api", "process_video_question")] {
        let server = gradio(prefix, function);
        let remote = open(&server);
        assert_eq!(
            (&remote.info()["protocol"], &remote.info()["server"]["version"]),
            (&value!("gradio"), &value!("4.44.1"))
        );
        let (analysis, told) =
            told(&remote, &prompted("/on/the/server.mp4", "[reason] Which emotion does this reflect?"));
        let analysis = analysis.unwrap();
        assert_eq!(told, ["[respond]", ANSWER]);
        assert_eq!(
            (analysis.response.as_str(), analysis.explanation.as_str(), analysis.emotion.as_str()),
            (ANSWER, ANSWER, "")
        );
        assert!(analysis.confidence.is_none() && analysis.probabilities.is_empty() && analysis.model.name.is_empty());
        assert!(note(&analysis, "text_only").is_some() && note(&analysis, "no_label").is_some());
        let sent = server.received_at(&format!("{prefix}/api/{function}/"));
        assert_eq!(
            sent[0].json(),
            value!({"data": ["/on/the/server.mp4", "[reason] Which emotion does this reflect?"]})
        );
        let labelled = ask(&remote, &Request::new("/on/the/server.mp4")).unwrap();
        assert_eq!((labelled.emotion.as_str(), labelled.confidence), ("happy", None));
        assert!(note(&labelled, "label_from_text").is_some() && note(&labelled, "ignored_option").is_none());
    }
}

#[test]
fn gradio_uploads_refusals_and_options_that_it_cannot_take() {
    let server = gradio("", "predict");
    let remote = open(&server);
    let uploaded =
        ask(&remote, &Request { source: b"\x1a\x45\xdf\xa3".to_vec().into(), ..prompted("", "echo") }).unwrap();
    assert_eq!(uploaded.response, "/tmp/gradio/72bd93/clip one.mp4|echo");
    let form = server.received_at("/upload")[0].text();
    assert!(form.contains("name=\"files\"; filename=\"clip.mkv\""), "{form}");
    let mut request = prompted("/on/the/server.mp4", "echo");
    request.question.labels = Some(vec!["calm".into(), "bored".into()]);
    request.question.sampling.seed = 5;
    request.transcript = Transcript::Text("hello".into());
    let analysis = ask(&remote, &request).unwrap();
    assert!(note(&analysis, "ignored_option").unwrap().ends_with("labels, transcript, seed"), "{:?}", analysis.notes);
    for (path, prompt, name, words) in [
        ("/missing.mp4", "x", "not_found", "/missing.mp4"),
        ("/a.mp4", "raise", "internal", "does not say why"),
        ("/a.mp4", "show", "internal", "CUDA out of memory"),
        ("/a.mp4", "shape", "unreachable", "no text"),
    ] {
        let error = ask(&remote, &prompted(path, prompt)).unwrap_err();
        assert!(error.name() == name && error.message.contains(words), "{path} {prompt}: {error}");
    }
    let error = remote.session(&Request::new("a.mp4"), &CancelToken::new()).unwrap_err();
    assert!(error.name() == "invalid_argument" && error.message.contains("keeps no sessions"), "{error}");
}

/// As the documented example answers, with the key that its page recommends where there is one.
fn fastapi(key: Option<&'static str>) -> Server {
    Server::new(move |received| {
        if key.is_some() && received.headers.get("x-api-key").map(String::as_str) != key {
            return json(401, value!({"error": "Invalid API key"}));
        }
        if received.target != "/process_video" {
            return json(404, value!({"detail": "Not Found"}));
        }
        if received.method != "POST" {
            return Reply::Whole(405, vec![("allow", "POST".into())], b"{\"detail\":\"Method Not Allowed\"}".to_vec());
        }
        let body = received.json();
        let text = match (body["video_path"].as_str().unwrap(), body["question"].as_str().unwrap()) {
            ("/missing.mp4", _) => ABSENT.to_owned(),
            (_, "raise") => return json(200, value!({"error": "boom"})),
            (_, "quiet") => return json(200, value!({"error": ""})),
            (_, "limited") => return json(429, value!({"detail": "10 per 1 minute"})),
            (path, question) => format!("{path} {question} so she is sad."),
        };
        json(200, value!({"response": text}))
    })
}

#[test]
fn fastapi_gives_text_and_takes_no_uploads() {
    let server = fastapi(None);
    // The documented URL of the call will do.
    let remote = Remote::open(&format!("{}/process_video", server.url()), &options(), &CancelToken::new()).unwrap();
    assert_eq!(remote.info()["protocol"], "fastapi");
    let analysis = ask(&remote, &prompted("/a.mp4", "Why?")).unwrap();
    assert_eq!((analysis.response.as_str(), analysis.emotion.as_str()), ("/a.mp4 Why? so she is sad.", "sad"));
    for (request, name, words) in [
        (prompted("/missing.mp4", "x"), "not_found", "/missing.mp4"),
        (prompted("/a.mp4", "raise"), "internal", "boom"),
        (prompted("/a.mp4", "quiet"), "internal", "does not say why"),
        (prompted("/a.mp4", "limited"), "overloaded", "10 per 1 minute"),
        (Request::new(vec![1u8, 2]), "invalid_argument", "no uploads"),
    ] {
        let error = ask(&remote, &request).unwrap_err();
        assert!(error.name() == name && error.message.contains(words), "{name}: {error}");
    }
}

// ---- keys ----

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_key_is_sent_and_never_shown() {
    let log = Log::default();
    let own = log.clone();
    // The traces of `ureq_proto` are the bytes themselves.
    let filter = tracing_subscriber::EnvFilter::new("trace,ureq_proto=debug");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || own.clone()).init();
    let server = fastapi(Some(KEY));
    let with = |key: &str| RemoteOptions { api_key: Some(key.into()), ..options() };
    let cancel = CancelToken::new();
    let remote = Remote::open(&server.url(), &with(KEY), &cancel).unwrap();
    ask(&remote, &prompted("/a.mp4", "Why?")).unwrap();
    let sent = server.received();
    assert!(sent
        .iter()
        .all(|sent| sent.headers["x-api-key"] == KEY && sent.headers["authorization"] == format!("Bearer {KEY}")));
    let none = Remote::open(&server.url(), &options(), &cancel).unwrap_err();
    assert!(none.name() == "invalid_argument" && none.message.contains("wants a key"), "{none}");
    let wrong = Remote::open(&server.url(), &with("sk-geheim-wrong"), &cancel).unwrap_err();
    assert!(wrong.name() == "invalid_argument" && wrong.message.contains("refuses the key"), "{wrong}");
    let bad = Remote::open(&server.url(), &with("sk-geheim\r\nx: y"), &cancel).unwrap_err();
    assert_eq!(bad.name(), "invalid_argument");
    let elsewhere =
        v1(|_| Reply::Whole(307, vec![("location", "http://127.0.0.1:9/v1/analyze?x=query".into())], vec![]));
    let remote_v1 = Remote::open(&elsewhere.url(), &with(KEY), &cancel).unwrap();
    let redirected = ask(&remote_v1, &Request::new("a.mp4")).unwrap_err();
    assert!(
        redirected.name() == "unreachable" && redirected.message.contains("http://127.0.0.1:9/v1/analyze\""),
        "{redirected}"
    );
    // Plain HTTP to another machine is warned of, and tried.
    let exposed = RemoteOptions { timeout_s: 0.2, connect_timeout_s: 0.1, ..with(KEY) };
    let _ = Remote::open("http://192.0.2.1:9/", &exposed, &cancel);
    let shown = format!("{remote:?} {:?} {} {none} {wrong} {bad} {redirected}", with(KEY), remote.info());
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("unencrypted") && log.contains("answered"), "{log}");
    for text in [&shown, &log] {
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[test]
fn redirects_stay_with_the_server_and_keep_the_body() {
    let server = Server::new(|received| match received.target.as_str() {
        "/v1/models" => Reply::Whole(307, vec![("location", "/v1/models/".into())], vec![]),
        "/v1/models/" => models(),
        "/v1/analyze" if !received.headers.contains_key("never") => {
            Reply::Whole(308, vec![("location", "/again".into())], vec![])
        }
        "/again" => Reply::Whole(307, vec![("location", "/there".into())], vec![]),
        "/there" => json(200, result()),
        _ => Reply::Whole(307, vec![("location", received.target.clone())], vec![]),
    });
    let remote = open(&server);
    ask(&remote, &Request::new(b"bytes of a clip".to_vec())).unwrap();
    assert!(server.received_at("/there")[0].text().contains("bytes of a clip"));
    let round = v1(|received| Reply::Whole(307, vec![("location", received.target.clone())], vec![]));
    let error = ask(&open(&round), &Request::new("a.mp4")).unwrap_err();
    assert!(error.name() == "unreachable" && error.message.contains("without end"), "{error}");
}

// ---- what is no such server ----

#[test]
fn what_is_no_server_is_told_clearly() {
    let open = |url: &str| Remote::open(url, &RemoteOptions { timeout_s: 5.0, ..options() }, &CancelToken::new());
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let other = Server::new(|_| json(404, value!({"detail": "Not Found"})));
    let openai = Server::new(|_| json(200, value!({"object": "list", "data": [{"id": "gpt"}]})));
    let later = Server::new(|_| {
        Reply::Whole(
            200,
            vec![("x-api-version", "2.0".into())],
            value!({"object": "list", "data": []}).to_string().into_bytes(),
        )
    });
    let garbage = Server::new(|_| Reply::Raw(vec![(0, b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())]));
    let closes = Server::new(|_| Reply::Raw(vec![]));
    // Speaks no TLS, and says so before it is asked.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let busy = Server::new(|_| Reply::Whole(503, vec![("retry-after", "9".into())], vec![]));
    for (url, name, words) in [
        (format!("http://127.0.0.1:{port}"), "unreachable", "refused"),
        ("http://no-such-host.invalid/".into(), "unreachable", "no-such-host.invalid"),
        (other.url(), "unreachable", "/config gave 404"),
        (openai.url(), "unreachable", "no Emotion-LLaMA server"),
        (later.url(), "unreachable", "version 2.0"),
        (garbage.url(), "unreachable", "HTTP"),
        (closes.url(), "unreachable", "closed the connection"),
        (format!("https://127.0.0.1:{plain}"), "unreachable", "secure connection"),
        (busy.url(), "overloaded", "9 s"),
        ("ftp://x".into(), "invalid_argument", "http://"),
    ] {
        let began = Instant::now();
        let error = open(&url).unwrap_err();
        println!("{url}: {error} ({} ms)", began.elapsed().as_millis());
        assert!(error.name() == name && error.message.contains(words), "{url}: {} {error}", error.name());
    }
    for (name, value) in
        [("timeout_s", 0.0), ("timeout_s", f64::NAN), ("timeout_s", 1e300), ("connect_timeout_s", -1.0)]
    {
        let mut options = options();
        match name {
            "timeout_s" => options.timeout_s = value,
            _ => options.connect_timeout_s = value,
        }
        let error = Remote::open(&other.url(), &options, &CancelToken::new()).unwrap_err();
        assert!(error.name() == "invalid_argument" && error.message.contains(name), "{error}");
    }
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("ca.pem");
    for content in ["", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&pem, content).unwrap();
        let options = RemoteOptions { ca_file: Some(pem.clone()), ..options() };
        let error = Remote::open(&other.url(), &options, &CancelToken::new()).unwrap_err();
        assert!(error.name() == "invalid_argument" && error.message.contains("ca.pem"), "{error}");
    }
}

#[test]
fn hostile_answers_are_refused() {
    let head = |kind: &str, rest: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{rest}\r\n").into_bytes();
    let deep = |n: usize| "[".repeat(n);
    type Make = Box<dyn Fn() -> Reply + Send + Sync>;
    let raw = |bytes: Vec<u8>| -> Make { Box::new(move || Reply::Raw(vec![(0, bytes.clone())])) };
    let whole = |kind: &'static str, text: String| -> Make {
        Box::new(move || Reply::Whole(200, vec![("content-type", kind.into())], text.clone().into_bytes()))
    };
    let endless =
        |head: Vec<u8>, piece: Vec<u8>| -> Make { Box::new(move || Reply::Endless(head.clone(), piece.clone(), 0)) };
    let cases: Vec<(&str, Make, &str)> = vec![
        ("deep JSON", whole("application/json", deep(100_000)), "no analysis"),
        ("deep event", whole("text/event-stream", format!("data: {}\n\n", deep(100_000))), "no analysis"),
        ("another JSON", whole("application/json", "{}".into()), "no emotion"),
        ("not UTF-8", raw([head("application/json", "content-length: 4\r\n"), vec![0xff; 4]].concat()), "no analysis"),
        ("empty stream", whole("text/event-stream", String::new()), "before the result"),
        ("cut stream", whole("text/event-stream", "event: result\ndata: {\"analysis\":".into()), "before the result"),
        ("result of nothing", whole("text/event-stream", "event: result\ndata: {}\n\n".into()), "no emotion"),
        (
            "result of another kind",
            whole("text/event-stream", "event: result\ndata: {\"analysis\": [1]}\n\n".into()),
            "no emotion",
        ),
        ("huge length", raw(head("application/json", "content-length: 99999999999999\r\n")), "closed the connection"),
        ("length that is none", raw(head("application/json", "content-length: -5\r\n")), ""),
        (
            "chunk that is none",
            raw([head("application/json", "transfer-encoding: chunked\r\n"), b"zz\r\n".to_vec()].concat()),
            "",
        ),
        ("endless header", endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-a: b\r\n".repeat(500)), ""),
        ("endless JSON", endless(head("application/json", ""), vec![b' '; 1 << 20]), "64 MiB"),
        ("endless events", endless(head("text/event-stream", ""), b": hi\n\n".repeat(100_000)), "64 MiB"),
        ("endless line", endless(head("text/event-stream", ""), vec![b'x'; 1 << 20]), "64 MiB"),
        (
            "bomb of headers",
            raw([b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(100_000), b"\r\n".to_vec()].concat()),
            "",
        ),
    ];
    for (what, reply, words) in cases {
        let server = v1(move |_| reply());
        let began = Instant::now();
        let error = ask(&open(&server), &Request::new("a.mp4")).unwrap_err();
        println!("{what}: {error} ({} ms)", began.elapsed().as_millis());
        assert!(error.name() == "unreachable" && error.message.contains(words), "{what}: {} {error}", error.name());
        assert!(error.message.len() < 1000);
    }
    let numbers =
        v1(|_| json(200, value!({"response": "", "emotion": "x", "confidence": 1e300, "probabilities": {"x": -5}})));
    println!("absurd numbers: {:?}", ask(&open(&numbers), &Request::new("a.mp4")).map(|analysis| analysis.confidence));
}

#[test]
fn slow_servers_run_into_the_time_limit() {
    let options = RemoteOptions { timeout_s: 0.5, ..RemoteOptions::default() };
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
    let own = head.clone();
    let drips = v1(move |_| Reply::Endless(own.clone(), b":\n".to_vec(), 30));
    let silent = v1(|_| Reply::Silence);
    let half = v1(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), b"a".to_vec(), 30));
    for server in [drips, silent, half] {
        let remote = Remote::open(&server.url(), &options, &CancelToken::new()).unwrap();
        let began = Instant::now();
        let error = ask(&remote, &Request::new("a.mp4")).unwrap_err();
        println!("{error} ({} ms)", began.elapsed().as_millis());
        assert!(error.name() == "timeout" && error.message.contains("timeout_s"), "{} {error}", error.name());
        server.wait_for_gone(1);
    }
    // TEST-NET-1: nobody answers, or nothing leads there.
    let options = RemoteOptions { connect_timeout_s: 0.2, ..options };
    let error = Remote::open("http://192.0.2.1:9", &options, &CancelToken::new()).unwrap_err();
    assert!(["timeout", "unreachable"].contains(&error.name()), "{error}");
}

// ---- cancelling ----

/// Cancels after `pause` and gives the milliseconds until the call was back.
fn cancelled_after(pause: Duration, call: impl FnOnce(&CancelToken) -> Result<(), Error>) -> u128 {
    let cancel = CancelToken::new();
    let own = cancel.clone();
    let when = std::thread::spawn(move || {
        std::thread::sleep(pause);
        let now = Instant::now();
        own.cancel();
        now
    });
    let error = call(&cancel).unwrap_err();
    let back = Instant::now();
    let asked = when.join().unwrap();
    assert_eq!(error.name(), "cancelled", "{error}");
    back.duration_since(asked).as_millis()
}

#[test]
fn cancelling_returns_at_once_in_every_state_and_closes_the_connection() {
    let pause = Duration::from_millis(200);
    // A listener whose queue is full answers no further connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..5000 {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            Ok(stream) => held.push(stream),
            Err(_) => break,
        }
    }
    let options = options();
    let ms = cancelled_after(pause, |cancel| Remote::open(&format!("http://{address}"), &options, cancel).map(drop));
    println!("connecting: back {ms} ms after the cancel");
    drop(held);

    let silent = v1(|_| Reply::Silence);
    let remote = open(&silent);
    let ms = cancelled_after(pause, |cancel| remote.analyze(&Request::new("a.mp4"), cancel, &mut |_| {}).map(drop));
    println!("waiting: back {ms} ms after the cancel");
    silent.wait_for_gone(1);

    let streaming = v1(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
        Reply::Endless(head, b"event: text\ndata: {\"type\":\"text\",\"text\":\"more \"}\n\n".to_vec(), 5)
    });
    let remote = open(&streaming);
    let mut pieces = 0;
    let ms =
        cancelled_after(pause, |cancel| remote.analyze(&Request::new("a.mp4"), cancel, &mut |_| pieces += 1).map(drop));
    println!("streaming: back {ms} ms after the cancel, {pieces} pieces");
    assert!(pieces > 0);
    streaming.wait_for_gone(1);

    // The body of an upload that the server does not read.
    let base = "/unread";
    let stuck =
        Server::new(move |received| if received.target == "/unread/v1/models" { models() } else { Reply::Silence });
    let remote = Remote::open(&format!("{}{base}", stuck.url()), &options, &CancelToken::new()).unwrap();
    let is_uploading = AtomicBool::new(false);
    let ms = cancelled_after(Duration::from_millis(1500), |cancel| {
        let request = Request::new(vec![7u8; 64 << 20]);
        remote
            .analyze(&request, cancel, &mut |event| {
                is_uploading.store(event == Event::Stage("upload"), Ordering::SeqCst)
            })
            .map(drop)
    });
    println!("uploading: back {ms} ms after the cancel");
    assert!(is_uploading.load(Ordering::SeqCst));

    let cancel = CancelToken::new();
    cancel.cancel();
    let before = silent.received().len();
    assert_eq!(Remote::open(&silent.url(), &options, &cancel).unwrap_err().name(), "cancelled");
    assert_eq!(silent.received().len(), before);
}

#[test]
fn many_threads_share_a_server() {
    let server = v1(|received| {
        let mut result = result();
        result["response"] = received.json()["path"].clone();
        json(200, result)
    });
    let remote = open(&server);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let remote = remote.clone();
            scope.spawn(move || {
                for call in 0..10 {
                    let path = format!("{thread}-{call}.mp4");
                    assert_eq!(ask(&remote, &Request::new(path.as_str())).unwrap().response, path);
                }
            });
        }
    });
}
