//! `pack.json`, through the code that opens packs, and the prompt that a pack describes.
#![no_main]

use emotion_llama_core::pack::{ModelSpec, Pack, MANIFEST_FILE};
use emotion_llama_core::prompt::{template, PromptParts, Task};
use emotion_llama_fuzz::{file, folder, settle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        for name in ["llm.gguf", "adapter.safetensors", "eva.gguf", "hubert.gguf"] {
            file(name, b"0123456789abcdef", 0);
        }
    },
    |data: &[u8]| {
        file(MANIFEST_FILE, data, 0);
        let Some(pack) = settle(Pack::open(folder())) else { return };
        settle(pack.verify());
        let _ = (pack.manifest().model.tasks(), pack.manifest().model.llm().lora_scale());
        if let ModelSpec::Cues(spec) = &pack.manifest().model {
            let labels = &pack.manifest().labels;
            for task in [Task::Emotion, Task::Reason, Task::Free] {
                let parts =
                    PromptParts { task, question: None, transcript: Some("Well, {face}."), labels: Some(labels) };
                template::segments(&spec.prompt, parts);
            }
        }
    }
);
