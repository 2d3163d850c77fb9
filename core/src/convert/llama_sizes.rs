//! The sizes of a LLaMA, from the `config.json` of its Hugging Face folder.

use std::path::Path;

use serde::Deserialize;

use super::sizes::{check_extents, folder_config};
use crate::error::{Error, Result};

/// What `config.json` says of a LLaMA.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LlamaSizes {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    #[serde(default = "default_positions")]
    pub(super) max_position_embeddings: usize,
    #[serde(default = "default_eps")]
    pub(super) rms_norm_eps: f32,
    #[serde(default = "default_theta")]
    pub(super) rope_theta: f32,
    #[serde(default)]
    pub(super) rope_scaling: Option<serde_json::Value>,
    /// Whether the output matrix is the embedding.
    #[serde(default)]
    pub(super) tie_word_embeddings: bool,
}

/// Which model a `config.json` describes.
#[derive(Debug, Deserialize)]
struct ModelType {
    #[serde(default)]
    model_type: String,
}

const WANTS: &str = "--llama wants the Hugging Face folder of LLaMA-2-7b-chat";

fn default_positions() -> usize {
    2048
}

fn default_eps() -> f32 {
    1e-6
}

fn default_theta() -> f32 {
    10_000.0
}

impl LlamaSizes {
    /// Reads `config.json` in `dir`.
    ///
    /// # Errors
    /// `not_found` or `invalid_argument` naming the file and what is wrong.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let (path, kind): (_, ModelType) = folder_config(dir, "LLaMA", WANTS)?;
        let bad = |what: String| Error::invalid_argument(format!("{}: {what}", path.display()));
        if kind.model_type != "llama" {
            return Err(bad(format!("is a {:?} model; Emotion-LLaMA is built on \"llama\"", kind.model_type)));
        }
        let (_, sizes): (_, Self) = folder_config(dir, "LLaMA", WANTS)?;
        if sizes.rope_scaling.as_ref().is_some_and(|scaling| !scaling.is_null()) {
            return Err(bad("has rotary scaling, which LLaMA-2 has not and this library does not support".into()));
        }
        let heads = sizes.num_attention_heads;
        check_extents(
            &path,
            &[
                ("hidden_size", sizes.hidden_size),
                ("intermediate_size", sizes.intermediate_size),
                ("num_hidden_layers", sizes.num_hidden_layers),
                ("num_attention_heads", heads),
                ("num_key_value_heads", sizes.kv_heads()),
                ("head_dim", sizes.head()),
            ],
        )?;
        if !sizes.head().is_multiple_of(2) {
            return Err(bad(format!(
                "its heads are {} wide, which rotary positions cannot split in pairs",
                sizes.head()
            )));
        }
        if !sizes.hidden_size.is_multiple_of(heads) || !heads.is_multiple_of(sizes.kv_heads()) {
            return Err(bad(format!(
                "{heads} heads and {} key heads do not fit a width of {}",
                sizes.kv_heads(),
                sizes.hidden_size
            )));
        }
        Ok(sizes)
    }

    /// Key and value heads.
    pub(super) fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub(super) fn head(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}
