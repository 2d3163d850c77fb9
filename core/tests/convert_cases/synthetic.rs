//! Packs of random weights.

use std::fs;

use emotion_llama_core::convert::{synthesize, Quantization, SynthOptions, SynthShape};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::pack::{Pack, PackRef};
use emotion_llama_core::request::{Request, Transcript};
use emotion_llama_core::CancelToken;

use super::says;
use crate::common::clip;

const FILES: [&str; 6] = ["adapter.safetensors", "eva.gguf", "hubert.gguf", "llama.gguf", "mae.gguf", "videomae.gguf"];

#[test]
fn synthetic_packs_answer_and_depend_on_their_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, quantization, seed| {
        let out = dir.path().join(name);
        let options = SynthOptions { shape: SynthShape::Tiny, quantization, perception: None, seed, out };
        synthesize(&options, &mut |_| {}, &CancelToken::new())
    };
    let all = [Quantization::F32, Quantization::F16, Quantization::Q8_0, Quantization::Q4K];
    for quantization in all {
        let name = quantization.name();
        let pack = make(name, quantization, 7).unwrap();
        Pack::open(&pack).unwrap().verify().unwrap();
        let engine = Engine::open(&PackRef::Dir(pack), &EngineOptions::default()).unwrap();
        let mut request = Request::new(clip("SAD"));
        request.transcript = Transcript::None;
        request.question.sampling.max_new_tokens = 4;
        let analysis = engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap();
        let sum: f32 = analysis.probabilities.values().sum();
        assert!((sum - 1.0).abs() < 1e-4 && analysis.probabilities.len() == 9, "{name}: {:?}", analysis.probabilities);
        assert!(analysis.usage.prompt_tokens > 260, "{name}: {:?}", analysis.usage);
    }
    let same = make("same", Quantization::Q8_0, 7).unwrap();
    let other = make("other", Quantization::Q8_0, 8).unwrap();
    for file in FILES {
        let read = |pack: &std::path::Path| fs::read(pack.join(file)).unwrap();
        let first = read(&dir.path().join("q8_0"));
        assert!(first == read(&same), "{file} differs with the same seed");
        assert!(first != read(&other), "{file} is the same with another seed");
    }
    says(&make("same", Quantization::Q8_0, 7).unwrap_err(), "invalid_argument", &["same: exists already"]);
}

#[test]
fn the_least_pack_answers_and_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        shape: SynthShape::Least,
        quantization: Quantization::F32,
        perception: None,
        seed: 1,
        out: dir.path().join("least"),
    };
    let pack = synthesize(&options, &mut |_| {}, &CancelToken::new()).unwrap();
    let bytes: u64 = FILES.iter().map(|file| fs::metadata(pack.join(file)).unwrap().len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
    let engine = Engine::open(&PackRef::Dir(pack), &EngineOptions::default()).unwrap();
    let mut request = Request::new(clip("SAD"));
    request.question.sampling.max_new_tokens = 4;
    let analysis = engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap();
    assert!(analysis.usage.prompt_tokens > 20 && analysis.probabilities.len() == 9, "{analysis:?}");
}
