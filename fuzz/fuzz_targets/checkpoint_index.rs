//! The index of a checkpoint in parts (`model.safetensors.index.json`), beside two parts without fault.
#![no_main]

use emotion_llama_core::checkpoint::Checkpoint;
use emotion_llama_fuzz::checkpoint::safetensors;
use emotion_llama_fuzz::{file, folder, settle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        for (part, name) in [("1.safetensors", "a"), ("2.safetensors", "b")] {
            let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}}}"#);
            file(part, &safetensors(&header, 16), 0);
        }
    },
    |data: &[u8]| {
        file("model.safetensors.index.json", data, 0);
        if let Some(checkpoint) = settle(Checkpoint::open(folder())) {
            settle(checkpoint.read("a"));
            settle(checkpoint.read("b"));
        }
    }
);
