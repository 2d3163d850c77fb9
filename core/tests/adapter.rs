//! The trained adapter in this library agrees with the recipe's own model: projectors, LoRA, prompt and label scores.
//!
//! The fixture is written by `training/reference.py` from the PyTorch model in float32.

mod common;

use common::{pack_dir, root};
use emotion_llama_core::features::{FaceFeatures, Features, VoiceFeatures};
use emotion_llama_core::pack::{Loading, ModelSpec, Pack};
use emotion_llama_core::projector::CueProjector;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::Question;
use emotion_llama_core::respond::Responder;
use emotion_llama_core::CancelToken;
use safetensors::SafeTensors;
use serde_json::Value;

/// The adapter is stored in half precision on both sides; what differs is the order of float32 sums.
const SOFT_TOKEN_TOLERANCE: f32 = 1e-4;
const PROBABILITY_TOLERANCE: f32 = 5e-3;

struct Reference {
    cases: Vec<Value>,
    bytes: Vec<u8>,
}

impl Reference {
    fn read() -> Self {
        let dir = root().join("core/tests/data/adapter");
        let json: Value = serde_json::from_slice(&std::fs::read(dir.join("reference.json")).unwrap()).unwrap();
        let bytes = std::fs::read(dir.join("reference.safetensors")).unwrap();
        Self { cases: json["cases"].as_array().unwrap().clone(), bytes }
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{name} in {:?}", file.names()));
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// The measurements that a case's vectors encode.
    fn features(&self, case: &str) -> Features {
        let vector = |name: &str| self.tensor(&format!("{case}.in.{name}"));
        let present = |name: &str| vector(name).last() == Some(&1.0);
        let posterior = |name: &str| -> [f32; 7] { vector(name)[..7].try_into().unwrap() };
        let z = |name: &str| -> Vec<f32> { vector(name).iter().map(|value| value * 3.0).collect() };
        Features {
            face: present("face_peak").then(|| FaceFeatures {
                peak: posterior("face_peak"),
                mean: posterior("face_time"),
                geometry: z("geometry")[..6].try_into().unwrap(),
            }),
            voice: present("voice").then(|| VoiceFeatures {
                posterior: posterior("voice"),
                prosody: z("prosody")[..5].try_into().unwrap(),
            }),
            encoded: None,
        }
    }
}

#[test]
fn soft_tokens_agree_with_the_recipe() {
    let pack = Pack::open(&pack_dir()).unwrap();
    let manifest = pack.manifest();
    let ModelSpec::Cues(spec) = &manifest.model else { panic!("the built-in pack is of cues") };
    let projector = CueProjector::open(&pack.path(&spec.llm.adapter), &spec.features, 576).unwrap();
    let reference = Reference::read();
    for case in &reference.cases {
        let case = case["name"].as_str().unwrap();
        let features = reference.features(case);
        for spec in &spec.features {
            let tokens = projector.soft_tokens(&spec.name, &features).unwrap().unwrap();
            let expected = reference.tensor(&format!("{case}.soft.{}", spec.name));
            assert_eq!(tokens.len(), expected.len(), "{case} {}", spec.name);
            for (ours, theirs) in tokens.iter().zip(&expected) {
                assert!((ours - theirs).abs() <= SOFT_TOKEN_TOLERANCE * theirs.abs().max(1.0), "{case} {}", spec.name);
            }
        }
    }
}

#[test]
fn label_scores_and_text_agree_with_the_recipe() {
    let pack = Pack::open(&pack_dir()).unwrap();
    let cancel = CancelToken::new();
    let responder = Responder::open(&Loading::new(&pack, false, &cancel, &|_| {})).unwrap();
    let reference = Reference::read();
    for case in &reference.cases {
        let name = case["name"].as_str().unwrap();
        let features = reference.features(name);
        for (task, key) in [(Task::Emotion, "emotion"), (Task::Reason, "reason")] {
            let expected = &case["tasks"][key];
            let mut question = Question { task: Some(task), ..Question::default() };
            question.sampling.greedy = true;
            question.sampling.repetition_penalty = 1.0;
            question.sampling.max_new_tokens = 16;
            let labels: Vec<String> = serde_json::from_value(case["labels"].clone()).unwrap();
            question.labels = Some(labels).filter(|labels| *labels != pack.manifest().labels);
            let words = case["transcript"].as_str();
            let response = responder.respond(&features, words, &question, &CancelToken::new(), &mut |_| {}).unwrap();
            assert_eq!(response.usage.prompt_tokens, expected["prompt_ids"].as_array().unwrap().len(), "{name} {key}");
            assert_eq!(response.emotion, expected["label"].as_str().unwrap(), "{name} {key}");
            for (label, p) in expected["probabilities"].as_object().unwrap() {
                let (ours, theirs) = (response.probabilities[label], p.as_f64().unwrap() as f32);
                assert!((ours - theirs).abs() <= PROBABILITY_TOLERANCE, "{name} {key} {label}: {ours} {theirs}");
            }
            if task == Task::Reason {
                let text = expected["text"].as_str().unwrap();
                let begin: String = text.chars().take(24).collect();
                assert!(
                    response.text.contains(begin.trim()),
                    "{name}: {:?} does not go on with {begin:?}",
                    response.text
                );
            }
        }
    }
}
