//! A language model's GGUF file: metadata, tensors and tokenizer. The bytes are the beginning of the file; zeros follow.
#![no_main]

use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{Llama, Tokenizer};
use emotion_llama_fuzz::tokenizer::round_trip;
use emotion_llama_fuzz::{file, settle};
use libfuzzer_sys::fuzz_target;

/// Room for the weights of a small model.
const LENGTH: u64 = 1 << 18;

fuzz_target!(|data: &[u8]| {
    let Some(gguf) = settle(Gguf::open(&file("llm.gguf", data, LENGTH))) else { return };
    if let Some(tokenizer) = settle(Tokenizer::from_gguf(&gguf)) {
        round_trip(&tokenizer);
    }
    if let Some(model) = settle(Llama::load(&gguf)) {
        settle(model.embed(&[0, 1, u32::MAX]));
        settle(model.embed(&[0]));
    }
});
