//! Converted packs, asked about real clips.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use emotion_llama_core::analysis::{Analysis, Timings};
use emotion_llama_core::convert::Quantization;
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::event::Event;
use emotion_llama_core::face::FramePick;
use emotion_llama_core::features::ClipFeatures;
use emotion_llama_core::pack::{Pack, PackRef};
use emotion_llama_core::prompt::published::{PromptPath, LABELS};
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{Question, Request, Transcript};
use emotion_llama_core::CancelToken;
use serde_json::Value;

use super::{says, Bench};
use crate::common::{self, clip, pack_dir};
use crate::media_files::Files;

const PATHS: [PromptPath; 3] = [PromptPath::Train, PromptPath::Eval, PromptPath::Demo];

fn open(pack: &Path) -> Engine {
    Engine::open(&PackRef::Dir(pack.to_owned()), &EngineOptions::default()).unwrap()
}

/// The tiny model at f16 with the built-in pack's nets; None without the reference.
fn engine() -> Option<&'static (Bench, Engine)> {
    static ENGINE: OnceLock<Option<(Bench, Engine)>> = OnceLock::new();
    let make = || {
        let bench = Bench::new()?;
        bench.converted("pack", |options| {
            options.quantization = Quantization::F16;
            options.perception = Some(Pack::open(&pack_dir()).unwrap());
        });
        let engine = open(&bench.path("pack"));
        Some((bench, engine))
    };
    ENGINE.get_or_init(make).as_ref()
}

/// A short, greedy answer.
fn short(question: Question) -> Question {
    let mut question = question;
    question.sampling.greedy = true;
    question.sampling.max_new_tokens = 6;
    question
}

/// A request about `file` without speech recognition.
fn about(file: PathBuf) -> Request {
    Request { question: short(Question::default()), transcript: Transcript::None, ..Request::new(file) }
}

fn analyze(engine: &Engine, request: &Request) -> Analysis {
    let mut analysis = engine.analyze(request, &CancelToken::new(), &mut |_| {}).unwrap();
    let sum: f32 = analysis.probabilities.values().sum();
    assert!((sum - 1.0).abs() < 1e-4, "{:?}", analysis.probabilities);
    assert_eq!(analysis.confidence, Some(analysis.probabilities[&analysis.emotion]));
    (analysis.timings_ms, analysis.time_to_label_ms) = (Timings::default(), 0.0);
    analysis
}

fn notes(analysis: &Analysis) -> Vec<&str> {
    analysis.notes.iter().map(|note| note.name.as_str()).collect()
}

#[test]
fn packs_of_every_quantisation_answer_every_question_on_every_path() {
    let Some(bench) = Bench::new() else { return };
    let perception = Pack::open(&pack_dir()).unwrap();
    for quantization in [Quantization::F32, Quantization::F16, Quantization::Q8_0, Quantization::Q4K] {
        let name = quantization.name();
        bench.converted(name, |options| {
            options.quantization = quantization;
            options.perception = Some(perception.clone());
        });
        let engine = open(&bench.path(name));
        let request = Request { question: short(Question::default()), ..Request::new(clip("HAP")) };
        let first = analyze(&engine, &request);
        assert_eq!(first, analyze(&engine, &request), "{name}: two runs");
        assert!(first.transcript.as_deref().is_some_and(|words| words.to_lowercase().starts_with("don't forget")));
        assert!(!first.faces.is_empty() && first.frame.is_some() && !first.cues.is_empty(), "{name}");

        let (observation, _) = engine.observe(&request, &CancelToken::new(), &mut |_| {}).unwrap();
        for path in PATHS {
            let mut lengths = Vec::new();
            for prompt in ["[emotion]", "[reason]", "Where is the person?"] {
                let question = Question { prompt: Some(prompt.into()), prompt_path: Some(path), ..Question::default() };
                let answer = || {
                    let mut analysis = engine
                        .answer(&observation, &short(question.clone()), &CancelToken::new(), &mut |_| {})
                        .unwrap();
                    (analysis.timings_ms, analysis.time_to_label_ms) = (Timings::default(), 0.0);
                    analysis
                };
                let analysis = answer();
                assert_eq!(analysis, answer(), "{name} {path:?} {prompt}: two runs");
                assert_eq!(analysis.probabilities.keys().collect::<Vec<_>>(), LABELS.iter().collect::<Vec<_>>());
                let sum: f32 = analysis.probabilities.values().sum();
                assert!((sum - 1.0).abs() < 1e-4, "{name} {path:?} {prompt}: {sum}");
                assert!((1..=6).contains(&analysis.usage.completion_tokens), "{:?}", analysis.usage);
                lengths.push(analysis.usage.prompt_tokens);
            }
            assert!(lengths[0] > 260 && lengths[1] != lengths[2], "{name} {path:?}: {lengths:?}");
        }
    }
}

/// Prompts are as long as the reference's for the same words.
#[test]
fn prompts_have_the_references_tokens() {
    let Some((bench, engine)) = engine() else { return };
    let text = std::fs::read_to_string(bench.reference.path("prompts.json")).unwrap();
    let prompts: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (observation, _) = engine.observe(&about(clip("NEU")), &CancelToken::new(), &mut |_| {}).unwrap();
    let mut compared = 0;
    for prompt in &prompts {
        let path = match prompt["path"].as_str().unwrap() {
            "train" => PromptPath::Train,
            "eval" => PromptPath::Eval,
            "demo" => PromptPath::Demo,
            _ => continue,
        };
        let (_, said) = prompt["prompt"].as_str().unwrap().split_once("The person in video says: ").unwrap();
        let tag = said.find("[emotion]").or_else(|| said.find("[reason]")).unwrap();
        let words = said[..tag].trim_end().strip_suffix('.').unwrap();
        let asked = said[tag..].split("[/INST]").next().unwrap().trim();
        let question = Question { prompt: Some(asked.into()), prompt_path: Some(path), ..Question::default() };
        let mut observation = observation.clone();
        observation.transcript = Some(words.to_owned());
        let analysis = engine.answer(&observation, &short(question), &CancelToken::new(), &mut |_| {}).unwrap();
        assert_eq!(analysis.usage.prompt_tokens as u64, prompt["length"].as_u64().unwrap(), "{prompt}");
        compared += 1;
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn the_callers_labels_and_words_are_used() {
    let Some((_, engine)) = engine() else { return };
    let mut request = about(clip("FEA"));
    let silent = analyze(engine, &request);
    assert_eq!(silent.transcript, None);
    request.transcript = Transcript::Text(" I did not expect to see you here. ".into());
    let spoken = analyze(engine, &request);
    assert_eq!(spoken.transcript.as_deref(), Some("I did not expect to see you here."));
    assert!(spoken.usage.prompt_tokens > silent.usage.prompt_tokens);
    let labels = vec!["calm".to_owned(), "happy".to_owned(), "bored to tears".to_owned()];
    request.question.labels = Some(labels.clone());
    let chosen = analyze(engine, &request);
    assert_eq!(chosen.probabilities.keys().cloned().collect::<Vec<_>>(), labels);
}

#[test]
fn features_that_are_given_take_the_place_of_the_encoders() {
    let Some((_, engine)) = engine() else { return };
    let probabilities = |path, features: ClipFeatures| {
        let mut request = about(clip("SAD"));
        request.question.prompt_path = Some(path);
        request.features = features;
        analyze(engine, &request).probabilities
    };
    let vector = |seed: usize| Some((0..48).map(|i| ((i * seed) % 7) as f32 - 3.0).collect::<Vec<f32>>());
    let own = probabilities(PromptPath::Eval, ClipFeatures::default());
    let none = ClipFeatures::default();
    let given = [
        ClipFeatures { mae: vector(2), ..none.clone() },
        ClipFeatures { videomae: vector(3), ..none.clone() },
        ClipFeatures { hubert: vector(5), ..none.clone() },
    ];
    for features in &given {
        assert_ne!(probabilities(PromptPath::Eval, features.clone()), own, "{features:?}");
    }
    // The demo feeds zeros for face and motion, whatever there is.
    let demo = probabilities(PromptPath::Demo, none);
    let [face, motion, voice] = given.map(|features| probabilities(PromptPath::Demo, features));
    assert_eq!((&face, &motion), (&demo, &demo));
    assert_ne!(voice, demo);
}

#[test]
fn features_that_cannot_be_used_are_refused_before_any_work() {
    let Some((_, engine)) = engine() else { return };
    let refused = |engine: &Engine, features: ClipFeatures, parts: &[&str]| {
        let mut request = about("nowhere.mp4".into());
        request.features = features;
        let error = engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap_err();
        says(&error, "invalid_argument", parts);
    };
    let vector = |width| Some(vec![0.5; width]);
    let none = ClipFeatures::default();
    let wide = "has 1024 values, the pack takes 48";
    refused(engine, ClipFeatures { mae: vector(1024), ..none.clone() }, &["the mae feature", wide]);
    refused(engine, ClipFeatures { videomae: vector(1024), ..none.clone() }, &["the videomae feature", wide]);
    refused(engine, ClipFeatures { hubert: vector(0), ..none.clone() }, &["the hubert feature has 0 values"]);
    let nan = Some([vec![0.0; 47], vec![f32::NAN]].concat());
    refused(engine, ClipFeatures { hubert: nan, ..none.clone() }, &["value 47 of the hubert feature"]);
    refused(common::engine(), ClipFeatures { mae: vector(48), ..none }, &["takes no features", "converted"]);
    assert_eq!(engine.feature_width("videomae").unwrap(), 48);
    says(&engine.feature_width("eva").unwrap_err(), "invalid_argument", &["\"eva\"", "mae, videomae and hubert"]);
}

#[test]
fn pictures_sounds_and_empty_rooms_are_answered_with_notes() {
    let Some((_, engine)) = engine() else { return };
    let files = Files::new();
    let speech = clip("ANG");
    let speech = speech.to_str().unwrap();
    let still = files.make("still.png", &["-i", speech, "-frames:v", "1"]);
    let sound = files.make("sound.wav", &["-i", speech, "-vn"]);
    let room = files.make("room.mp4", &["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10", "-t", "1"]);
    // What must be noted, and whether a frame is described.
    let cases: [(PathBuf, &[&str], bool); 3] = [
        (still, &["still_picture"], true),
        (sound, &["no_video", "no_picture"], false),
        (room, &["no_face", "no_audio", "whole_frames"], true),
    ];
    for (file, expected, frame) in cases {
        let analysis = analyze(engine, &about(file.clone()));
        let found = notes(&analysis);
        assert!(expected.iter().all(|note| found.contains(note)), "{}: {found:?}", file.display());
        assert_eq!(analysis.frame.is_some(), frame, "{}", file.display());
    }
}

#[test]
fn the_picture_is_the_frame_that_was_asked_for() {
    let Some((_, engine)) = engine() else { return };
    let ask = |frame| analyze(engine, &Request { frame, ..about(clip("DIS")) });
    let (first, later) = (ask(FramePick::First), ask(FramePick::At(1.0)));
    assert_eq!(first.frame.as_ref().unwrap().index, 0);
    assert!((later.frame.as_ref().unwrap().time_s - 1.0).abs() < 0.05);
    assert_ne!(first.probabilities, later.probabilities);
}

#[test]
fn the_prompt_path_is_for_converted_packs() {
    let mut request = about("nowhere.mp4".into());
    request.question.prompt_path = Some(PromptPath::Demo);
    let error = common::engine().analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap_err();
    says(&error, "invalid_argument", &["prompt_path chooses among the published model's prompts"]);
}

/// Packs without the built-in one's nets, and of a checkpoint that cannot give reasons.
#[test]
fn a_pack_of_a_classifier_answers_emotions_only() {
    let Some(bench) = Bench::new() else { return };
    let path = bench.checkpoint().torch(&bench.path("checkpoint_best.pth"), &[("lora_r", 8)], "NCEV.txt");
    bench.converted("classifier", |options| {
        options.checkpoint = path;
        options.mae = None;
        options.videomae = None;
    });
    let engine = open(&bench.path("classifier"));
    let analysis = analyze(&engine, &about(clip("ANG")));
    assert!(analysis.faces.is_empty() && analysis.frame.is_some(), "{analysis:?}");
    for (task, prompt) in [(Some(Task::Reason), None), (None, Some("[reason] Why?".to_owned()))] {
        let mut request = about("nowhere.mp4".into());
        request.question.task = task;
        request.question.prompt = prompt;
        let error = engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap_err();
        says(&error, "invalid_argument", &["classifies only: it was trained without reasons", "ask for the emotion"]);
    }
}

#[test]
fn encoding_and_answering_stop_when_cancelled() {
    let Some((_, engine)) = engine() else { return };
    for stage in ["decode", "observe", "respond"] {
        let cancel = CancelToken::new();
        let mut stop = |event: Event<'_>| {
            if event == Event::Stage(stage) {
                cancel.cancel();
            }
        };
        let error = engine.analyze(&about(clip("ANG")), &cancel, &mut stop).unwrap_err();
        says(&error, "cancelled", &[]);
    }
    let cancel = CancelToken::new();
    let mut request = about(clip("ANG"));
    request.question.sampling.max_new_tokens = 500;
    let mut pieces = 0;
    let mut stop = |event: Event<'_>| {
        if let Event::Text(_) = event {
            pieces += 1;
            cancel.cancel();
        }
    };
    says(&engine.analyze(&request, &cancel, &mut stop).unwrap_err(), "cancelled", &[]);
    assert!(pieces <= 2, "{pieces}");
}
