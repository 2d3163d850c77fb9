//! A request as JSON: with and without a clip beside it, about a clip that is there already, and a question alone.
#![no_main]

use emotion_llama_core::media::Source;
use emotion_llama_core::request::{ClipRequest, Question, Request};
use emotion_llama_fuzz::settle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let alone = settle(Request::from_json(data, None));
    let beside = settle(Request::from_json(data, Some(Source::from(&b"clip"[..]))));
    settle(ClipRequest::from_json(data));
    settle(Question::from_json(data));
    assert!(alone.is_none() || beside.is_none(), "one request has two clips");
});
