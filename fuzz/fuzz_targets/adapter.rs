//! The adapter file of a pack: projectors of both kinds and LoRA weights.
#![no_main]

use emotion_llama_core::features::Features;
use emotion_llama_core::llama::{LlamaConfig, LoraWeights};
use emotion_llama_core::pack::FeatureSpec;
use emotion_llama_core::projector::{CueProjector, PublishedProjector};
use emotion_llama_fuzz::{file, settle};
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;

const HIDDEN: usize = 4;

fuzz_target!(|data: &[u8]| {
    let path = file("adapter.safetensors", data, 0);
    let width = Features::default().vector("prosody").map_or(0, |vector| vector.len());
    let prosody = FeatureSpec { name: "prosody".into(), width, tokens: 1 };
    if let Some(projector) = settle(CueProjector::open(&path, &[prosody], HIDDEN)) {
        settle(projector.soft_tokens("prosody", &Features::default()));
    }
    if let Some(projector) = settle(PublishedProjector::open(&path, HIDDEN)) {
        let _ = projector.widths();
    }
    if let Ok(tensors) = SafeTensors::deserialize(data) {
        let config = LlamaConfig {
            hidden: HIDDEN,
            intermediate: 8,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            vocab: 8,
            context: 16,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
        };
        settle(LoraWeights::from_safetensors(&tensors, &config, 1.0));
    }
});
