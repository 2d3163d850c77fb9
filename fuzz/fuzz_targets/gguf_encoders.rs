//! The GGUF files of EVA, HuBERT, MAE and VideoMAE. The bytes are the beginning of the file; zeros follow.
#![no_main]

use emotion_llama_core::encoders::eva::EvaViT;
use emotion_llama_core::encoders::hubert::Hubert;
use emotion_llama_core::encoders::mae::Mae;
use emotion_llama_core::encoders::videomae::VideoMae;
use emotion_llama_fuzz::{file, settle};
use libfuzzer_sys::fuzz_target;

/// Room for the weights of a small encoder.
const LENGTH: u64 = 1 << 21;

fuzz_target!(|data: &[u8]| {
    let path = file("encoder.gguf", data, LENGTH);
    settle(EvaViT::open(&path));
    settle(Mae::open(&path));
    settle(VideoMae::open(&path));
    if let Some(hubert) = settle(Hubert::open(&path)) {
        let _ = hubert.min_samples();
    }
});
