//! The lists of an evaluation: clips with their labels, and what is said in them.
#![no_main]

use emotion_llama_core::evaluate::{annotations, Transcripts};
use emotion_llama_fuzz::{file, settle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = file("list", data, 0);
    settle(annotations(&path));
    if let Some(transcripts) = settle(Transcripts::open(&path)) {
        let _ = transcripts.get("a");
    }
});
