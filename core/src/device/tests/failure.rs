//! What errors of a device are called.

use std::path::Path;

use candle_core::Error as CandleError;
use serde_json::json;

use super::super::Placed;
use super::{place, DType};
use crate::backend::Backend;
use crate::cancel::CancelToken;
use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, ErrorKind};
use crate::media::{Clip, Waveform};
use crate::pack::{Loading, Pack};
use crate::placement::GpuInfo;
use crate::request::{ClipRequest, Transcript};
use crate::session::Session;

/// As cudarc writes an error of the driver.
fn driver(text: &str) -> CandleError {
    CandleError::Cuda(format!("DriverError({text})").into())
}

#[test]
fn causes_are_told_apart() {
    let kind = |error: CandleError| Error::from(error).kind;
    assert_eq!(kind(driver("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"")), ErrorKind::OutOfMemory);
    assert_eq!(kind(driver("CUBLAS_STATUS_ALLOC_FAILED")), ErrorKind::OutOfMemory);
    assert_eq!(kind(driver("CUDA_ERROR_ILLEGAL_ADDRESS")), ErrorKind::Unreachable);
    assert_eq!(kind(driver("CUDA_ERROR_DEVICE_UNAVAILABLE").context("while reading")), ErrorKind::Unreachable);
    assert_eq!(kind(CandleError::Msg("shapes differ".to_owned())), ErrorKind::Internal);
    assert!(Error::from(driver("CUDA_ERROR_ECC_UNCORRECTABLE")).message.contains("ECC_UNCORRECTABLE"));
}

#[test]
fn only_a_lost_device_is_given_up() {
    let here = place(DType::F32);
    let (placed, other) = (Placed::new(1, &here), Placed::new(2, &here.clone()));
    assert_eq!(placed.run(|one| Ok(one + 1)).unwrap(), 2);
    for kind in [ErrorKind::OutOfMemory, ErrorKind::Cancelled, ErrorKind::Internal] {
        placed.run(|_| Err::<(), _>(Error::new(kind, "no"))).unwrap_err();
        assert!(placed.is_there(), "{kind}");
    }
    placed.run(|_| Err::<(), _>(Error::from(driver("CUDA_ERROR_LAUNCH_FAILED")))).unwrap_err();
    // All that lies on it is given up, and nothing that lies elsewhere.
    assert!(!placed.is_there() && !other.is_there() && here.is_lost());
    assert!(Placed::new(3, &place(DType::F32)).is_there());
}

#[test]
fn an_engine_says_what_it_computes_with_and_goes_on_without_its_device() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini");
    if !dir.is_dir() {
        eprintln!("SKIPPED: {} is missing; `make pack` makes it", dir.display());
        return;
    }
    let (pack, cancel) = (Pack::open(&dir).unwrap(), CancelToken::new());
    let here = place(DType::F32);
    let gpu = GpuInfo {
        index: 3,
        uuid: "GPU-aa".to_owned(),
        name: "candle's CPU device".to_owned(),
        memory: 1 << 30,
        capability: (9, 0),
    };
    let options = EngineOptions { verify: false, ..EngineOptions::default() };
    let report = |_| {};
    let loading = Loading::new(&pack, false, &cancel, &report).on(Some(here.clone()));
    let engine = Engine::load(loading, Some(gpu), &options).unwrap();
    let devices = |engine: &Engine| Backend::Embedded(engine.clone()).info()["devices"].clone();
    assert_eq!(devices(&engine), json!(["cuda:3", "cpu"]));

    let mut request = ClipRequest { transcript: Transcript::Text("I am so happy".to_owned()), ..Default::default() };
    (request.question.sampling.greedy, request.question.sampling.max_new_tokens) = (true, 4);
    let ask = || engine.analyze_clip(&silence(), &request, &cancel, &mut |_| {});
    let before = ask().unwrap();
    let observation = engine.observe_clip(&silence(), &request, &cancel, &mut |_| {}).unwrap();
    let mut session = Session::new(&engine, observation);
    session.ask(&request.question, &cancel, &mut |_| {}).unwrap();
    here.run(|| Err::<(), _>(Error::unreachable("unplugged"))).unwrap_err();
    assert_eq!(devices(&engine), json!(["cpu"]));
    assert!(engine.gpu().is_none());
    assert_eq!(ask().unwrap().emotion, before.emotion);
    // A conversation is over, and begins again where everything else goes on.
    assert_eq!(session.ask(&request.question, &cancel, &mut |_| {}).unwrap_err().kind, ErrorKind::Unreachable);
    session.reset();
    assert_eq!(session.ask(&request.question, &cancel, &mut |_| {}).unwrap().emotion, before.emotion);
}

/// A clip of nothing but a second of silence.
fn silence() -> Clip {
    Clip {
        frames: Vec::new(),
        pairs: Vec::new(),
        audio: Some(Waveform { samples: vec![0.0; 16_000] }),
        duration_s: 1.0,
        has_video: false,
        has_audio: true,
        video_span_s: (0.0, 0.0),
        rotation_deg: 0,
        frame_count: 0,
        frames_decoded: 0,
        notes: Vec::new(),
    }
}
