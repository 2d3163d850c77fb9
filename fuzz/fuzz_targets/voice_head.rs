//! The voice head (`voice.safetensors`).
#![no_main]

use emotion_llama_core::voice::{Prosody, ProsodyZ, VoiceHead};
use emotion_llama_fuzz::{file, folder, settle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    file("voice.safetensors", data, 0);
    let Some(head) = settle(VoiceHead::open(folder())) else { return };
    let prosody = Prosody {
        pitch_hz: Some(180.0),
        pitch_base_hz: Some(150.0),
        pitch_range_st: None,
        energy_db: -3.0,
        rate_sps: 4.0,
        brightness: f32::NAN,
        speech_s: 1.0,
        span_s: (0.0, 1.0),
        level_db: -20.0,
        z: ProsodyZ::default(),
    };
    head.posterior(&[], &prosody);
    head.place(&[f32::INFINITY; 384], &prosody);
});
