//! The files that a vocabulary is published in: `tokenizer.model` and `tokenizer.json`.
#![no_main]

use emotion_llama_core::llama::{Tokenizer, Vocabulary};
use emotion_llama_fuzz::settle;
use emotion_llama_fuzz::tokenizer::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parse =
        if data.first() == Some(&b'{') { Vocabulary::from_tokenizer_json } else { Vocabulary::from_sentencepiece };
    let Some(vocabulary) = settle(parse(data)) else { return };
    if let Some(tokenizer) = settle(Tokenizer::from_vocabulary(&vocabulary)) {
        round_trip(&tokenizer);
    }
});
