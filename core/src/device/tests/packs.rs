//! A whole pack, opened for a device.

use std::path::Path;

use super::{assert_near, noise, place, DType, Place, F32_ERROR};
use crate::cancel::CancelToken;
use crate::convert::{synthesize, Quantization, SynthOptions, SynthShape};
use crate::encode::Encoders;
use crate::face::FramePick;
use crate::features::{ClipFeatures, Features};
use crate::media::{Clip, Frame, Sampling, Waveform};
use crate::pack::{Loading, ModelSpec, Pack};
use crate::request::Question;
use crate::respond::Responder;

/// Largest difference of probabilities: that of logits, through an exponential.
const PROBABILITY_ERROR: f32 = 1e-3;

fn open(pack: &Pack, place: Option<Place>) -> (Encoders, Responder) {
    let cancel = CancelToken::new();
    let loading = Loading::new(pack, false, &cancel, &|_| {}).on(place);
    let ModelSpec::EmotionLlama(spec) = &pack.manifest().model else { panic!("another model") };
    (Encoders::open(&loading, spec).unwrap(), Responder::open(&loading).unwrap())
}

fn clip(pairs: usize) -> Clip {
    let frame = |i: usize| Frame {
        width: 40,
        height: 30,
        rgb: noise(i as u64 + 1, 40 * 30 * 3).iter().map(|v| (v * 127.0 + 128.0) as u8).collect(),
        time_s: i as f64 * 0.1,
        index: i as u64,
        source_width: 40,
        source_height: 30,
        #[cfg(feature = "cuda")]
        on_device: None,
    };
    Clip {
        frames: (0..6).map(frame).collect(),
        pairs: (0..2 * pairs).map(|i| i * 6 / (2 * pairs)).collect(),
        audio: Some(Waveform { samples: noise(50, 16_000).iter().map(|v| v * 0.5).collect() }),
        duration_s: 1.0,
        has_video: true,
        has_audio: true,
        video_span_s: (0.0, 0.6),
        rotation_deg: 0,
        frame_count: 6,
        frames_decoded: 6,
        notes: Vec::new(),
    }
}

#[test]
fn a_converted_pack_answers_the_same() {
    let perception = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini");
    if !perception.is_dir() {
        eprintln!("SKIPPED: {} is missing; `make pack` makes it", perception.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        shape: SynthShape::Tiny,
        quantization: Quantization::F16,
        perception: Some(Pack::open(&perception).unwrap()),
        seed: 5,
        out: dir.path().join("tiny"),
    };
    let cancel = CancelToken::new();
    let pack = Pack::open(&synthesize(&options, &mut |_| {}, &cancel).unwrap()).unwrap();
    let (encoders, responder) = open(&pack, None);
    let (moved_encoders, moved_responder) = open(&pack, Some(place(DType::F32)));
    assert!(responder.place().is_none() && moved_responder.place().is_some());

    let clip = clip(encoders.sampling(Sampling::default()).pairs);
    let [expected, found] = [&encoders, &moved_encoders].map(|encoders| {
        let given = ClipFeatures::default();
        encoders.encode(&clip, None, FramePick::Middle, &given, &cancel).unwrap().encoded
    });
    assert_near(&found.picture, &expected.picture, F32_ERROR, "picture");
    let parts = [
        ("mae", &found.clip.mae, &expected.clip.mae),
        ("videomae", &found.clip.videomae, &expected.clip.videomae),
        ("hubert", &found.clip.hubert, &expected.clip.hubert),
    ];
    for (name, found, expected) in parts {
        assert_near(found.as_ref().unwrap(), expected.as_ref().unwrap(), F32_ERROR, name);
    }

    let features = Features { encoded: Some(expected), ..Features::default() };
    let mut question = Question::default();
    (question.sampling.greedy, question.sampling.max_new_tokens) = (true, 6);
    let [expected, found] = [&responder, &moved_responder]
        .map(|responder| responder.respond(&features, Some("so be it"), &question, &cancel, &mut |_| {}).unwrap());
    let values = |response: &crate::respond::Response| response.probabilities.values().copied().collect::<Vec<f32>>();
    assert_near(&values(&found), &values(&expected), PROBABILITY_ERROR, "probabilities");
    assert_eq!((found.text, found.usage), (expected.text, expected.usage));
}
