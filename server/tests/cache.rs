//! Answers that are kept, equal requests that run once, and the store that servers share.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{clip_bytes, form, mini_pack, open, read, real_clip, Running, PATIENCE};
use emotion_llama_server::config::Config;
use emotion_llama_server::operate::metrics::Lookup;
use serde_json::{json, Value};

/// To standard error itself, past the harness, which keeps what tests that pass print.
macro_rules! say {
    ($($what:tt)*) => { drop(writeln!(std::io::stderr(), $($what)*)) };
}

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

/// How many answers were found in memory, in the shared store, in a running job, nowhere.
fn lookups(server: &Running) -> [u64; 4] {
    let count = |result| server.app().metrics.lookups(result);
    [count(Lookup::Memory), count(Lookup::Shared), count(Lookup::Running), count(Lookup::Miss)]
}

fn question(more: Value) -> Value {
    let mut question = json!({"path": "clip.avi", "task": "reason", "max_new_tokens": 8});
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    question
}

#[test]
fn an_equal_question_about_an_equal_clip_is_answered_once() {
    let server = Running::start(|_| {});
    let first = server.post("/v1/analyze", &question(json!({})));
    assert_eq!((first.status, lookups(&server)), (200, [0, 0, 0, 1]));
    // To the letter, the times too: they are those of the computation.
    assert_eq!(server.post("/v1/analyze", &question(json!({}))).text(), first.text());
    let (kind, body) = form(&[
        ("request", None, json!({"task": "reason", "max_new_tokens": 8}).to_string().as_bytes()),
        ("media", Some("another name.avi"), &clip_bytes()),
    ]);
    let uploaded = server.send("POST", "/v1/analyze", &[("content-type", &kind)], &body);
    assert_eq!((uploaded.text(), lookups(&server)), (first.text(), [2, 0, 0, 1]));
    for (number, other) in
        [json!({"seed": 1}), json!({"prompt": "Why?"}), json!({"task": "emotion"}), json!({"frame": "first"})]
            .into_iter()
            .enumerate()
    {
        assert_eq!(server.post("/v1/analyze", &question(other)).status, 200);
        assert_eq!(lookups(&server)[3], 2 + number as u64);
    }
    let metrics = server.get("/metrics").text();
    for line in [
        "emotion_llama_cache_lookups_total{result=\"memory\"} 2",
        "emotion_llama_cache_lookups_total{result=\"miss\"} 5",
        "emotion_llama_cache_entries 5",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn a_kept_stream_tells_what_the_first_one_told() {
    let server = Running::start(|_| {});
    let body = question(json!({})).to_string();
    let stream = || server.send("POST", "/v1/analyze", &[JSON, EVENTS], body.as_bytes()).events();
    let first = stream();
    for wanted in ["stage", "label", "text", "result"] {
        assert!(first.iter().any(|(name, _)| name == wanted), "{wanted}: {first:?}");
    }
    assert_eq!(stream(), first);
    assert_eq!(lookups(&server), [1, 0, 0, 1]);
}

#[test]
fn a_clip_that_was_changed_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.avi");
    std::fs::write(&path, clip_bytes()).unwrap();
    let server = Running::start(|config| config.files.media_roots = vec![dir.path().into()]);
    assert_eq!(server.post("/v1/analyze", &question(json!({}))).status, 200);
    let mut other = clip_bytes();
    let last = other.len() - 1;
    other[last] ^= 1;
    std::fs::write(&path, other).unwrap();
    assert_eq!(server.post("/v1/analyze", &question(json!({}))).status, 200);
    assert_eq!(lookups(&server), [0, 0, 0, 2]);
}

#[test]
fn errors_are_not_kept_and_nothing_is_kept_without_room() {
    let server = Running::start(|_| {});
    let (kind, body) = form(&[("media", Some("a.avi"), b"no clip")]);
    for count in 1..=2 {
        let reply = server.send("POST", "/v1/analyze", &[("content-type", &kind)], &body);
        assert_eq!((reply.error(), lookups(&server)), ((400, "media_undecodable".into()), [0, 0, 0, count]));
    }
    let server = Running::start(|config| config.cache.bytes = 0);
    for _ in 0..2 {
        assert_eq!(server.post("/v1/analyze", &question(json!({}))).status, 200);
    }
    assert_eq!((lookups(&server), server.app().cache.size()), ([0; 4], (0, 0)));
    let server = Running::start(|config| config.cache.bytes = 8 << 10);
    for seed in 0..20 {
        assert_eq!(server.post("/v1/analyze", &question(json!({"seed": seed}))).status, 200);
    }
    let (entries, bytes) = server.app().cache.size();
    assert!((1..20).contains(&entries) && bytes <= 8 << 10, "{entries} answers, {bytes} bytes");
}

/// A server with the built-in model, whose analyses take a while, one after the other.
fn slow() -> Running {
    Running::start(|config| {
        config.model.pack = mini_pack().to_str().unwrap().into();
        config.files.media_roots = vec![real_clip().parent().unwrap().to_path_buf()];
        config.queue.running = 1;
    })
}

fn ask(server: &Running, seed: u64) -> TcpStream {
    let body = json!({"path": real_clip(), "task": "reason", "max_new_tokens": 60, "seed": seed}).to_string();
    open(server.address(), "POST", "/v1/analyze", &[JSON], body.as_bytes())
}

#[test]
fn equal_questions_at_the_same_time_run_once_and_who_leaves_stops_nobody_else() {
    let server = slow();
    let turn = server.take_turn();
    let mut callers: Vec<TcpStream> = (0..6).map(|_| ask(&server, 2)).collect();
    server.wait_for("all callers", || lookups(&server)[2] == 5);
    assert_eq!(server.app().queue.snapshot().waiting, 1);
    // The one that began it, too.
    drop(callers.remove(0));
    drop(callers.remove(0));
    drop(turn);
    let answers: Vec<String> = callers.into_iter().map(|caller| read(caller).text()).collect();
    assert!(answers[0].contains("\"response\"") && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!((lookups(&server), server.app().queue.snapshot().cancelled), ([0, 0, 5, 1], 0));
}

/// Two that looked at the same moment used to begin both.
#[test]
fn equal_questions_at_the_same_moment_begin_once() {
    let server = slow();
    for seed in 10..40 {
        let turn = server.take_turn();
        let start = Barrier::new(4);
        let callers: Vec<TcpStream> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                ask(&server, seed)
            };
            let calls: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let asked = 4 * (seed - 9);
        server.wait_for("all callers", || lookups(&server).iter().sum::<u64>() == asked);
        assert_eq!(lookups(&server), [0, 0, 3 * asked / 4, asked / 4], "seed {seed}");
        drop(callers);
        drop(turn);
        server.wait_idle();
    }
}

#[test]
fn what_nobody_waits_for_any_more_is_stopped_and_begins_anew() {
    let server = slow();
    let turn = server.take_turn();
    let callers: Vec<TcpStream> = (0..4).map(|_| ask(&server, 3)).collect();
    server.wait_for("all callers", || lookups(&server) == [0, 0, 3, 1] && server.app().queue.snapshot().waiting == 1);
    let began = Instant::now();
    drop(callers);
    server.wait_for("an empty queue", || server.app().queue.snapshot().waiting == 0);
    say!("{:.0} ms from the end of the last of 4 callers to a free place", began.elapsed().as_secs_f64() * 1e3);
    server.wait_for("the count", || server.app().queue.snapshot().cancelled == 1);
    drop(turn);
    assert_eq!(read(ask(&server, 3)).status, 200);
    assert_eq!(lookups(&server), [0, 0, 3, 2]);
}

/// A Redis server of our own.
struct Redis {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// None where there is none on this machine.
    fn start() -> Option<Self> {
        let program = ["redis-server", "valkey-server"].into_iter().find(|program| {
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        let Some(program) = program else {
            say!("SKIPPED: neither redis-server nor valkey-server is on this machine");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--requirepass", "of-a-test", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { process, port, _dir: dir };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "redis does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(redis)
    }

    fn share(&self, config: &mut Config) {
        config.cache.redis_url = Some(format!("redis://:of-a-test@127.0.0.1:{}/0", self.port).as_str().into());
    }

    fn call<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://:of-a-test@127.0.0.1:{}/0", self.port)).unwrap();
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut client.get_connection().unwrap()).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn servers_share_answers() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = (Running::start(|config| redis.share(config)), Running::start(|config| redis.share(config)));
    let first = one.post("/v1/analyze", &question(json!({})));
    assert_eq!(first.status, 200);
    one.wait_for("the entry", || redis.call::<Vec<String>>(&["KEYS", "*"]).len() == 1);
    let name = redis.call::<Vec<String>>(&["KEYS", "*"]).remove(0);
    assert!(name.starts_with("emotion-llama:") && name.len() == "emotion-llama:".len() + 64, "{name}");
    assert!((1..=3600).contains(&redis.call::<i64>(&["TTL", &name])));
    // The last digit of a time may get lost in the store's text.
    let steady = |text: String| {
        text.split("\"timings_ms\"").map(|part| part.split("\"model\"").last().unwrap().to_owned()).collect::<String>()
    };
    let shared = two.post("/v1/analyze", &question(json!({}))).text();
    assert_eq!(steady(shared.clone()), steady(first.text()));
    assert_eq!(two.post("/v1/analyze", &question(json!({}))).text(), shared);
    assert_eq!((lookups(&one), lookups(&two)), ([0, 0, 0, 1], [1, 1, 0, 0]));

    // What is damaged there is computed again, and put right.
    let whole: String = redis.call(&["GET", &name]);
    for damaged in ["", "{}", "null", &whole[..whole.len() / 2]] {
        redis.call::<String>(&["SET", &name, damaged]);
        let three = Running::start(|config| redis.share(config));
        assert_eq!(three.post("/v1/analyze", &question(json!({}))).status, 200);
        assert_eq!(lookups(&three), [0, 0, 0, 1], "{damaged}");
        three.wait_for("the entry", || redis.call::<String>(&["GET", &name]).len() > 100);
    }
}

#[test]
fn a_store_that_fails_fails_no_request() {
    let Some(mut redis) = Redis::start() else { return };
    let server = Running::start(|config| redis.share(config));
    let answered = |seed: u64| server.post("/v1/analyze", &question(json!({"seed": seed}))).status;
    assert_eq!(answered(1), 200);
    server.wait_for("the entry", || redis.call::<Vec<String>>(&["KEYS", "*"]).len() == 1);
    // It takes calls and does not answer them.
    redis.signal("-STOP");
    let began = Instant::now();
    assert_eq!((answered(2), answered(3)), (200, 200));
    say!("two answers in {:.2} s while the store hangs", began.elapsed().as_secs_f64());
    redis.signal("-CONT");
    redis.process.kill().unwrap();
    redis.process.wait().unwrap();
    assert_eq!((answered(4), answered(1)), (200, 200));
    let metrics = server.get("/metrics").text();
    let errors = metrics.lines().find_map(|line| line.strip_prefix("emotion_llama_cache_store_errors_total ")).unwrap();
    assert!(errors.parse::<u64>().unwrap() >= 1, "{errors}");
    for url in ["redis://127.0.0.1:9/", "redis://name-of-nothing.invalid/"] {
        let server = Running::start(|config| config.cache.redis_url = Some(url.into()));
        assert_eq!(server.post("/v1/analyze", &question(json!({}))).status, 200, "{url}");
    }
    let mut config = common::config(server.dir.path());
    config.cache.redis_url = Some("no address:secret".into());
    let error = emotion_llama_server::state::App::new(config).err().unwrap().to_string();
    assert!(error.contains("cache.redis_url") && !error.contains("secret"), "{error}");
}
