//! The speech model's weights (`speech.safetensors`, which the pack builder makes from the published files) and `speech_tokenizer.json`.
//! JSON is taken as the second, beside an empty model; other bytes as the first.
#![no_main]

use emotion_llama_core::encoders::whisper::Whisper;
use emotion_llama_fuzz::checkpoint::safetensors;
use emotion_llama_fuzz::{file, folder, settle};
use libfuzzer_sys::fuzz_target;

const TOKENIZER: &str = r#"{"model":{"vocab":{"a":0}},"added_tokens":[{"id":1,"content":"<|endoftext|>"},{"id":2,"content":"<|startoftranscript|>"},
{"id":3,"content":"<|notimestamps|>"},{"id":4,"content":"<|nocaptions|>"}]}"#;

fuzz_target!(|data: &[u8]| {
    if data.first() == Some(&b'{') {
        file("speech_tokenizer.json", data, 0);
        let header = r#"{"decoder.embedding":{"dtype":"F16","shape":[51864,0],"data_offsets":[0,0]}}"#;
        file("speech.safetensors", &safetensors(header, 0), 0);
    } else {
        file("speech_tokenizer.json", TOKENIZER.as_bytes(), 0);
        file("speech.safetensors", data, 0);
    }
    settle(Whisper::open(folder()));
});
