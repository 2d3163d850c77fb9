//! The voice head agrees with the recipe that made it, and bears with broken files and inputs.

use std::path::{Path, PathBuf};

use emotion_llama_core::voice::{Prosody, ProsodyZ, VoiceHead, VOICE7};
use emotion_llama_core::ErrorKind;
use proptest::prelude::*;
use serde_json::Value;

/// The recipe computes in f64 where the library computes in f32.
const POSTERIOR_TOLERANCE: f32 = 1e-4;
const Z_TOLERANCE: f32 = 1e-3;

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn mini() -> PathBuf {
    manifest().join("../packs/mini")
}

fn head() -> VoiceHead {
    VoiceHead::open(&mini()).expect("packs/mini/voice.safetensors is committed")
}

fn prosody() -> Prosody {
    Prosody {
        pitch_hz: Some(150.0),
        pitch_base_hz: Some(130.0),
        pitch_range_st: Some(5.0),
        energy_db: 0.0,
        rate_sps: 4.0,
        brightness: -10.0,
        speech_s: 1.0,
        span_s: (0.0, 1.0),
        level_db: -20.0,
        z: ProsodyZ::default(),
    }
}

fn cases() -> Vec<Value> {
    let path = manifest().join("tests/data/voice/head.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(path).expect("fixture")).expect("fixture is JSON");
    cases.as_array().expect("a list").clone()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

#[test]
fn agrees_with_the_recipe() {
    let head = head();
    let cases = cases();
    assert!(cases.len() >= 3);
    for case in &cases {
        let clip = &case["clip"];
        let pooled = numbers(&case["pooled"]);
        assert_eq!(pooled.len(), 3072);
        let raw = |name: &str| case["prosody"][name].as_f64().expect("a number") as f32;
        let measured = Prosody {
            pitch_hz: Some(raw("pitch_hz")),
            pitch_base_hz: Some(raw("pitch_base_hz")),
            pitch_range_st: Some(raw("pitch_range_st")),
            energy_db: raw("energy_db"),
            rate_sps: raw("rate_sps"),
            brightness: raw("brightness"),
            ..prosody()
        };
        let female = case["female"].as_f64().expect("a number") as f32;
        assert!((head.female(&pooled) - female).abs() < POSTERIOR_TOLERANCE, "{clip}: {}", head.female(&pooled));
        let placed = head.place(&pooled, &measured);
        for (got, expected) in placed.z.to_array().iter().zip(numbers(&case["z"])) {
            assert!((got - expected).abs() < Z_TOLERANCE, "{clip}: {got}, expected {expected}");
        }
        for (got, expected) in head.posterior(&pooled, &placed).iter().zip(numbers(&case["posterior"])) {
            assert!((got - expected).abs() < POSTERIOR_TOLERANCE, "{clip}: {got}, expected {expected}");
        }
    }
}

#[test]
fn reads_the_emotion_of_clips_it_was_fitted_on() {
    let head = head();
    for case in cases().iter().filter(|case| case["clip"].as_str().is_some_and(|clip| clip.ends_with(".clean"))) {
        let clip = case["clip"].as_str().expect("a name");
        let expected = "NWFTAEL".find(&clip[5..6]).expect("a label");
        let posterior = head.posterior(&numbers(&case["pooled"]), &prosody());
        let best = (0..7).max_by(|a, b| posterior[*a].total_cmp(&posterior[*b]));
        assert_eq!(best.map(|i| VOICE7[i]), Some(VOICE7[expected]), "{clip}: {posterior:?}");
    }
}

#[test]
fn norms_are_those_of_voices() {
    let head = head();
    let norms = head.norms();
    let pitch: Vec<f32> = norms.registers.iter().map(|r| r.pitch_hz).collect();
    assert_eq!(norms.registers.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["male", "female", "child"]);
    assert!(pitch[0] > 80.0 && pitch[0] * 1.3 < pitch[1] && pitch[1] * 1.2 < pitch[2] && pitch[2] < 400.0, "{pitch:?}");
    for norm in [norms.pitch, norms.pitch_range, norms.energy, norms.rate, norms.brightness] {
        assert!(norm.sd > 0.1 && norm.mean.is_finite(), "{norm:?}");
    }
}

#[test]
fn missing_file_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = VoiceHead::open(dir.path()).expect_err("nothing there");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("voice.safetensors"), "{error}");
}

#[test]
fn damaged_files_are_refused() {
    let whole = std::fs::read(mini().join("voice.safetensors")).expect("committed");
    let dir = tempfile::tempdir().expect("a folder");
    let open = |bytes: &[u8]| {
        std::fs::write(dir.path().join("voice.safetensors"), bytes).expect("written");
        VoiceHead::open(dir.path())
    };
    for share in 0..40 {
        let error = open(&whole[..whole.len() * share / 40]).expect_err("truncated");
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{share}/40: {error}");
    }
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the header");
        let mut bytes = whole.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let version = open(&replaced("emotion-llama-voice-1", "emotion-llama-voice-9")).expect_err("another format");
    assert!(version.kind == ErrorKind::PackInvalid && version.message.contains("emotion-llama-voice-9"), "{version}");
    for (from, to) in [
        ("layer0.mean", "layer7.mean"),
        ("emotion.weight", "emotion.height"),
        ("\\\"registers\\\"", "\\\"registors\\\""),
    ] {
        assert_eq!(open(&replaced(from, to)).expect_err(to).kind, ErrorKind::PackInvalid, "{to}");
    }
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(open(&nan).expect_err("not finite").kind, ErrorKind::PackInvalid);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn posterior_is_a_distribution_whatever_comes(values in prop::collection::vec(prop::num::f32::ANY, 0..3_200)) {
        let head = head();
        let placed = head.place(&values, &prosody());
        let posterior = head.posterior(&values, &placed);
        prop_assert!(posterior.iter().all(|p| (0.0..=1.0).contains(p)), "{posterior:?}");
        prop_assert!((posterior.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{posterior:?}");
        prop_assert!(placed.z.to_array().iter().all(|z| z.abs() <= 6.0), "{placed:?}");
    }
}
