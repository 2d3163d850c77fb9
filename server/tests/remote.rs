//! Our own client, unchanged, against the server: `Backend::open("http://…")`.

mod common;

use std::time::Duration;

use common::{clip, clip_bytes, mini_pack, real_clip, Running};
use emotion_llama_core::backend::{Backend, BackendOptions};
use emotion_llama_core::engine::EngineOptions;
use emotion_llama_core::event::Event;
use emotion_llama_core::llama::SamplingOptions;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::remote::Upload;
use emotion_llama_core::request::{Question, Request};
use emotion_llama_core::CancelToken;

fn hosted(server: &Running) -> Backend {
    Backend::open(&server.url(), &BackendOptions::default(), &CancelToken::new(), &|_| {}).unwrap()
}

fn question(prompt: Option<&str>) -> Question {
    let sampling = SamplingOptions { greedy: true, max_new_tokens: 8, ..SamplingOptions::default() };
    Question { prompt: prompt.map(str::to_owned), sampling, ..Question::default() }
}

#[test]
fn the_answer_is_that_of_an_engine_in_this_process() {
    let server = Running::start(|_| {});
    let hosted = hosted(&server);
    assert_eq!(hosted.info()["protocol"], "v1");
    let options = BackendOptions {
        engine: EngineOptions { verify: false, ..EngineOptions::default() },
        ..BackendOptions::default()
    };
    let embedded =
        Backend::open(common::least_pack().to_str().unwrap(), &options, &CancelToken::new(), &|_| {}).unwrap();
    let request =
        Request { question: Question { task: Some(Task::Reason), ..question(None) }, ..Request::new(clip().as_path()) };
    let analyze = |backend: &Backend, request: &Request| {
        let mut told = (Vec::new(), String::new(), Vec::new());
        let analysis = backend.analyze(request, &CancelToken::new(), &mut |event| match event {
            Event::Stage(stage) => told.0.push(stage),
            Event::Label(label) => told.2.push(label.clone()),
            Event::Text(text) => told.1.push_str(text),
        });
        (analysis.unwrap(), told)
    };
    let (there, told_there) = analyze(&hosted, &request);
    let (here, told_here) = analyze(&embedded, &request);
    assert_eq!(
        (&there.response, &there.emotion, &there.probabilities),
        (&here.response, &here.emotion, &here.probabilities)
    );
    assert_eq!((&told_there.1, &told_there.2), (&told_here.1, &told_here.2));
    assert_eq!(told_there.2.len(), 1);
    assert_eq!(told_there.0, ["upload", "decode", "observe", "respond"]);
    let bytes = Request { source: clip_bytes().into(), ..request.clone() };
    assert_eq!(analyze(&hosted, &bytes).0.response, here.response);
    let mut options = BackendOptions::default();
    options.remote.upload = Upload::Never;
    let by_path = Backend::open(&server.url(), &options, &CancelToken::new(), &|_| {}).unwrap();
    let (analysis, told) = analyze(&by_path, &request);
    assert_eq!((analysis.response, told.0), (here.response, vec!["decode", "observe", "respond"]));
    let error = by_path.analyze(&Request::new("absent.mp4"), &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.name(), "not_found");
}

#[test]
fn sessions_live_on_the_server() {
    let server = Running::start(|_| {});
    let hosted = hosted(&server);
    let mut conversation = hosted.converse(&Request::new(clip().as_path()), &CancelToken::new()).unwrap();
    let mut ask = |prompt| conversation.ask(&question(Some(prompt)), &CancelToken::new(), &mut |_| {}).unwrap();
    let first = ask("[emotion] Which?");
    assert!(ask("Why?").usage.cached_tokens > first.usage.cached_tokens);
    conversation.reset().unwrap();
    let again = conversation.ask(&question(Some("[emotion] Which?")), &CancelToken::new(), &mut |_| {}).unwrap();
    assert_eq!(again.probabilities, first.probabilities);
    assert_eq!(server.app().sessions.count(), 1);
    drop(conversation);
    server.wait_for("the session's end", || server.app().sessions.count() == 0);
}

#[test]
fn a_cancelled_call_is_cancelled_there_too() {
    let server = Running::start(|config| config.model.pack = mini_pack().to_str().unwrap().into());
    let hosted = hosted(&server);
    let cancel = CancelToken::new();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            server.wait_for("a run", || server.app().queue.snapshot().running == 1);
            std::thread::sleep(Duration::from_millis(50));
            cancel.cancel();
        });
        hosted.analyze(&Request::new(real_clip().as_path()), &cancel, &mut |_| {}).unwrap_err()
    });
    assert_eq!(error.name(), "cancelled");
    println!(
        "milliseconds from the client's cancellation to a free slot: {:.0}",
        server.wait_idle().as_secs_f64() * 1e3
    );
    server.wait_for("the count", || server.app().queue.snapshot().cancelled == 1);
}
