//! The whole way and its stages on a real 2 s clip: `make bench`, or `cargo bench --workspace --bench pipeline`.
//!
//! Needs `make pack` and `make clips`. The engine is loaded once, except in `open`.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{criterion_group, criterion_main, Criterion};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::media::{self, Limits, Sampling, Source};
use emotion_llama_core::pack::PackRef;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{Question, Request, Transcript};
use emotion_llama_core::CancelToken;

fn pipeline(criterion: &mut Criterion) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let clip = root.join("build/clips/1001_DFA_HAP_XX.flv");
    let pack = PackRef::Dir(root.join("build/packs/emotion-llama-mini"));
    let cancel = CancelToken::new();
    let open = || Engine::open(&pack, &EngineOptions::default()).expect("make pack");
    let engine = open();

    let mut group = criterion.benchmark_group("pipeline");
    group.sample_size(10);
    group.bench_function("open", |b| b.iter(|| black_box(open())));
    let source = Source::from(clip.as_path());
    group.bench_function("decode", |b| {
        b.iter(|| media::decode(&source, &Sampling::default(), &Limits::default(), &cancel).expect("make clips"));
    });
    for (name, transcript) in [("observe", Transcript::Auto), ("observe_without_words", Transcript::None)] {
        let request = Request { transcript, ..Request::new(clip.as_path()) };
        group.bench_function(name, |b| b.iter(|| engine.observe(&request, &cancel, &mut |_| {}).expect("observe")));
    }
    let (observation, _) = engine.observe(&Request::new(clip.as_path()), &cancel, &mut |_| {}).expect("observe");
    for (name, task) in [("answer_emotion", Task::Emotion), ("answer_reason", Task::Reason)] {
        let question = Question { task: Some(task), ..Question::default() };
        group.bench_function(name, |b| {
            b.iter(|| engine.answer(&observation, &question, &cancel, &mut |_| {}).expect("answer"));
        });
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
