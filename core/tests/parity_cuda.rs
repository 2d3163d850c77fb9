//! The models on a GPU, end to end: against the reference, and an analysis against the processor's. Without a GPU the code that it would
//! run is compared on candle's CPU device, and the rest says that it was skipped.

#![cfg(feature = "cuda")]

mod parity_stages;
mod reference;

use std::io::Write;
use std::path::{Path, PathBuf};

use emotion_llama_core::device::{DType, Device, Place};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::pack::PackRef;
use emotion_llama_core::placement::{gpus, Gpu, Placement};
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::Request;
use emotion_llama_core::CancelToken;
use parity_stages::language::{self, Language};
use parity_stages::{converted, device, encoders, sampling};
use reference::{Reference, Table};

/// How far values in f16, which have 11 bits, may be from those of f32 after the layers of the reference, relative to a tensor's largest. On
/// candle's CPU device the worst of all is at 5e-2, and no tensor has more than one value in a hundred beyond 3e-2.
const F16_ERROR: f64 = 1e-1;
/// Which part of the tokens of random rows may be others than in f32: the reference's logits are close to each other.
const F16_TOKENS: f64 = 0.1;
/// Largest difference of a label's probability between the two: on the GPU activations are f16, on the processor they are rounded to 8 bits.
const PROBABILITY_ERROR: f32 = 0.05;

/// Written past the test harness, which holds back what passing tests print.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "\n==== SKIPPED: {reason} ====\n");
}

/// The first GPU.
fn gpu() -> Option<Device> {
    match gpus() {
        Ok(found) => Some(Device::new_cuda(found[0].index).unwrap()),
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

/// Every tensor of the manifest, with the models at `place`, which computes in f32.
fn check_f32(reference: &Reference, place: &Place) {
    device::compute_at(place);
    let dir = tempfile::tempdir().unwrap();
    let pack = converted(reference, dir.path(), "plain", |_, _| {});
    let with_norm = converted(reference, dir.path(), "with_ln_vision", |options, path| {
        options.checkpoint = path("Emotion_LLaMA_tiny.with_ln_vision.pth");
    });
    let mut table = Table::new();
    encoders::check(reference, &pack, &mut table);
    encoders::check_ln_vision(reference, &with_norm.join("eva.gguf"), &mut table);
    language::check_projector(reference, &pack, &with_norm, &mut table);
    language::check_prompts(reference, &pack, &mut table);
    language::check_llama(reference, &pack, &mut table);
    language::check_end_to_end(reference, &pack, &mut table);
    sampling::check(reference, &mut table);
    table.finish(reference, |_| true);
}

/// The same in f16 and with looser bounds, up to the logits after the prompts. Greedy text is left out: the reference's best tokens are too
/// close to each other for it.
fn check_f16(reference: &Reference, device: &Device) {
    device::compute_at(&Place::new(device.clone(), DType::F16).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let pack = converted(reference, dir.path(), "plain", |_, _| {});
    let mut table = Table::loose(F16_ERROR, F16_TOKENS);
    encoders::check(reference, &pack, &mut table);
    language::check_llama(reference, &pack, &mut table);
    language::check_to_logits(reference, &pack, &Language::open(&pack), &mut table);
    table.finish(reference, |_| false);
}

#[test]
fn the_code_for_devices_agrees_with_the_reference_on_the_processor() {
    let Some(reference) = Reference::find() else { return };
    check_f32(&reference, &Place::new(Device::Cpu, DType::F32).unwrap());
    check_f16(&reference, &Device::Cpu);
}

#[test]
fn a_gpu_agrees_with_the_reference_in_f32() {
    let (Some(reference), Some(gpu)) = (Reference::find(), gpu()) else { return };
    check_f32(&reference, &Place::new(gpu, DType::F32).unwrap());
}

#[test]
fn a_gpu_agrees_with_the_reference_in_f16() {
    let (Some(reference), Some(gpu)) = (Reference::find(), gpu()) else { return };
    check_f16(&reference, &gpu);
}

#[test]
fn a_gpu_answers_about_a_clip_as_the_processor() {
    let built = |path: &str| -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build").join(path);
        if !path.exists() {
            skipped(&format!("{} is missing; make pack and make clips make it", path.display()));
            return None;
        }
        Some(path)
    };
    let (Some(pack), Some(clip)) = (built("packs/emotion-llama-mini"), built("clips/1001_DFA_ANG_XX.flv")) else {
        return;
    };
    if gpu().is_none() {
        return;
    }
    let open = |device| {
        let options = EngineOptions { device, verify: false, ..EngineOptions::default() };
        Engine::open(&PackRef::Dir(pack.clone()), &options).unwrap()
    };
    let (on_gpu, on_cpu) = (open(Placement::Cuda(Gpu::Index(0))), open(Placement::Cpu));
    assert_eq!(on_gpu.devices(), ["cuda:0", "cpu"]);
    for task in [Task::Emotion, Task::Reason] {
        let [found, expected] = [&on_gpu, &on_cpu].map(|engine| {
            let mut request = Request::new(clip.clone());
            request.question.task = Some(task);
            request.question.sampling.greedy = true;
            engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap()
        });
        assert_eq!(found.emotion, expected.emotion);
        for ((label, found), expected) in found.probabilities.iter().zip(expected.probabilities.values()) {
            assert!((found - expected).abs() <= PROBABILITY_ERROR, "{label}: {found}, the processor says {expected}");
        }
        // Not asserted: one rounding more or less decides between words that are about as likely.
        let same = if found.response == expected.response { "the same text" } else { "another text" };
        let _ = writeln!(std::io::stdout(), "{same} on the GPU: {:?}; {:?}", found.response, expected.response);
    }
}
