//! The language model on this machine: `make bench`, or `cargo bench --workspace --bench llama`. Needs the built pack.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{criterion_group, criterion_main, BatchSize, Criterion};
use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{KvCache, Llama, Tokenizer};
use emotion_llama_core::CancelToken;

const PROMPT_TOKENS: u32 = 60;

fn model_path() -> PathBuf {
    let pack = std::env::var_os("EMOTION_LLAMA_PACK").map(PathBuf::from);
    pack.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini"))
        .join("llm.gguf")
}

fn llama(c: &mut Criterion) {
    let path = model_path();
    let load = || {
        let gguf = Gguf::open(&path).expect("the built pack: run `make demo` first");
        (Llama::load(&gguf).expect("a model"), Tokenizer::from_gguf(&gguf).expect("a tokenizer"))
    };
    c.bench_function("load", |b| b.iter(|| black_box(load())));

    let (model, _) = load();
    let cancel = CancelToken::new();
    let ids: Vec<u32> = (0..PROMPT_TOKENS).map(|i| 1_000 + 37 * i).collect();
    let rows = model.embed(&ids).expect("ids of the vocabulary");
    let empty = || KvCache::new(model.config());
    c.bench_function("prefill_60", |b| {
        b.iter_batched(
            empty,
            |mut cache| model.prefill(&rows, &mut cache, &cancel).expect("logits"),
            BatchSize::SmallInput,
        )
    });

    let mut prompt = empty();
    let logits = model.prefill(&rows, &mut prompt, &cancel).expect("logits");
    c.bench_function("decode", |b| {
        b.iter_batched(
            || prompt.clone(),
            |mut cache| model.decode(500, &mut cache, &cancel).expect("logits"),
            BatchSize::SmallInput,
        )
    });

    let labels: Vec<Vec<u32>> = (0..8).map(|i| vec![900 + i, 1_900 + i]).collect();
    c.bench_function("score_8_labels_of_2", |b| {
        b.iter(|| model.score(&prompt, &logits, &labels, &cancel).expect("scores"))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(5));
    targets = llama
}
criterion_main!(benches);
