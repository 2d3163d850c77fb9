//! What a file is, told from the names and shapes of its tensors, so that a wrong one is named for what it is.

use super::source::{layers, StateDict, TensorSource};
use crate::checkpoint::Object;
use crate::error::{Error, Result};

/// The kinds of file that people mix up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    EmotionLlama,
    MiniGptV2,
    Llama,
    Eva,
    Mae,
    VideoMae,
    Hubert,
    Unknown,
}

/// What the tensors of `source` belong to.
pub(super) fn identify(source: &dyn TensorSource) -> Kind {
    let names = source.names();
    let any = |part: &str| names.iter().any(|name| name.contains(part));
    let patches =
        ["patch_embed.proj.weight", "encoder.patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"];
    let patch_axes = patches.iter().find_map(|name| source.shape(name)).map(<[usize]>::len);
    if any("llama_proj.weight") {
        return if any("feats_llama_proj1.") { Kind::EmotionLlama } else { Kind::MiniGptV2 };
    }
    if any("embed_tokens.weight") || any("self_attn.q_proj.weight") {
        return Kind::Llama;
    }
    if any("feature_extractor.conv_layers.0.") {
        return Kind::Hubert;
    }
    match patch_axes {
        Some(5) => Kind::VideoMae,
        Some(4) if any("blocks.0.attn.q_bias") => Kind::Eva,
        Some(4) if any("blocks.0.attn.qkv.bias") => Kind::Mae,
        _ => Kind::Unknown,
    }
}

impl Kind {
    /// What a file of this kind is, with its size.
    fn describe(self, source: &dyn TensorSource) -> String {
        let width = |name: &str| source.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(0);
        match self {
            Kind::EmotionLlama => "this is an Emotion-LLaMA checkpoint".into(),
            Kind::MiniGptV2 => {
                "this is the MiniGPT-v2 stage, not Emotion-LLaMA: it has no projections of face, motion and voice"
                    .into()
            }
            Kind::Llama => {
                let hidden = source.shape("model.norm.weight").and_then(|shape| shape.first().copied()).unwrap_or(0);
                let depth = layers(source, "model.layers.");
                let name = match (depth, hidden) {
                    (32, 4096) => "plain LLaMA-2-7b".to_owned(),
                    _ => format!("plain LLaMA ({depth} layers × {hidden})"),
                };
                format!("this is {name}, without Emotion-LLaMA's LoRA")
            }
            Kind::Eva => format!(
                "this is an EVA vision transformer ({} blocks × {})",
                layers(source, "blocks."),
                width("patch_embed.proj.weight")
            ),
            Kind::Mae => format!(
                "this is a MAE or another plain vision transformer ({} blocks × {})",
                layers(source, "blocks."),
                width("patch_embed.proj.weight")
            ),
            Kind::VideoMae => "this is a VideoMAE".into(),
            Kind::Hubert => format!("this is a HuBERT or wav2vec 2.0 ({} layers)", layers(source, "encoder.layers.")),
            Kind::Unknown => {
                let names: Vec<&str> = source.names().into_iter().take(3).collect();
                match names.is_empty() {
                    true => "this holds no tensors".into(),
                    false => format!(
                        "this is no model that belongs to Emotion-LLaMA; its first tensors are {}",
                        names.join(", ")
                    ),
                }
            }
        }
    }
}

/// Checks that `source`, given as `option`, is of the `wanted` kind.
///
/// # Errors
/// `invalid_argument` naming the file, what it is, and what the option wants.
pub(super) fn require(source: &dyn TensorSource, wanted: Kind, option: &str, wants: &str) -> Result<()> {
    let found = identify(source);
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid_argument(format!("{}: {}; {option} wants {wants}", source.place(), found.describe(source))))
}

/// Whether the checkpoint was trained to give reasons. Upstream's two stages have the same tensors; they differ in the annotations
/// that the saved configuration names, and in the name that the training script gives its best classifier.
pub(super) fn trained_with_reasons(checkpoint: &StateDict) -> bool {
    let mut texts = Vec::new();
    if let Some(config) = checkpoint.checkpoint().value("config") {
        collect(config, &mut texts, 0);
    }
    let says = |words: &[&str]| texts.iter().any(|text| words.iter().any(|word| text.contains(word)));
    if says(&["fine_grained", "reason"]) {
        return true;
    }
    if says(&["coarse_grained", "NCEV"]) {
        return false;
    }
    let name = checkpoint.checkpoint().path().file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    !name.starts_with("checkpoint_best")
}

/// Every text in `object`, keys left out, dashes as underscores.
fn collect(object: &Object, texts: &mut Vec<String>, depth: usize) {
    if depth > 32 {
        return;
    }
    match object {
        Object::Text(text) => texts.push(text.replace('-', "_")),
        Object::List(items) => items.iter().for_each(|item| collect(item, texts, depth + 1)),
        Object::Dict(pairs) => pairs.iter().for_each(|(_, value)| collect(value, texts, depth + 1)),
        Object::Other(_, state) => collect(state, texts, depth + 1),
        _ => {}
    }
}
