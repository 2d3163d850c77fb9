//! One module per part of the model: what it computes from the reference's inputs, compared tensor by tensor.

#![allow(dead_code, reason = "not every test program calls every stage")]

/// The model that was opened, where [`device::compute_at`] has said.
#[cfg(feature = "cuda")]
macro_rules! placed {
    ($opened:expr) => {{
        let mut model = $opened;
        if let Some(place) = crate::parity_stages::device::place() {
            model.move_to_device(&place).unwrap();
        }
        model
    }};
}
#[cfg(not(feature = "cuda"))]
macro_rules! placed {
    ($opened:expr) => {
        $opened
    };
}

#[cfg(feature = "cuda")]
pub mod device;
pub mod encoders;
pub mod language;
pub mod sampling;

use std::path::{Path, PathBuf};

use emotion_llama_core::convert::{convert, ConvertOptions, Quantization};
use emotion_llama_core::CancelToken;

use crate::reference::Reference;

/// The folders and files of the tiny checkpoints.
const TINY: &str = "tiny-upstream";

/// A conversion of the reference's tiny checkpoints to `out`, in f32.
pub fn tiny(reference: &Reference, out: &Path) -> ConvertOptions {
    let path = |name: &str| reference.path(TINY).join(name);
    ConvertOptions {
        llama: path("Llama-2-tiny-chat-hf"),
        eva: path("eva_vit_g_tiny.pth"),
        checkpoint: path("Emotion_LLaMA_tiny.pth"),
        hubert: path("chinese-hubert-tiny"),
        mae: Some(path("mae_tiny.pth")),
        videomae: Some(path("videomae_tiny")),
        quantization: Quantization::F32,
        config: None,
        merge_lora: false,
        perception: None,
        out: out.to_owned(),
    }
}

/// Converts the tiny checkpoints, with what `change` changes, to the pack `name` in `dir`.
pub fn converted(
    reference: &Reference,
    dir: &Path,
    name: &str,
    change: impl FnOnce(&mut ConvertOptions, &dyn Fn(&str) -> PathBuf),
) -> PathBuf {
    let mut options = tiny(reference, &dir.join(name));
    change(&mut options, &|name| reference.path(TINY).join(name));
    convert(&options, &mut |_| {}, &CancelToken::new()).unwrap_or_else(|error| panic!("{name}: {error}"))
}
