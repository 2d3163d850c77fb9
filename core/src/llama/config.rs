//! The model's extents, read from GGUF metadata.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::kernels::AttentionShape;

/// Bounds that no LLaMA model exceeds; beyond them the file is damaged.
const MAX_EXTENT: usize = 1 << 20;
const MAX_LAYERS: usize = 1024;

/// A LLaMA model's extents and constants. Original names: the GGUF keys in brackets, under `llama.`.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width of a token's row [`embedding_length`].
    pub hidden: usize,
    /// Width of the gated layer [`feed_forward_length`].
    pub intermediate: usize,
    /// Transformer layers [`block_count`].
    pub layers: usize,
    /// Query heads [`attention.head_count`].
    pub heads: usize,
    /// Key and value heads [`attention.head_count_kv`]; equal to `heads` without grouped-query attention.
    pub kv_heads: usize,
    /// Width of a head [`attention.key_length`], or `hidden / heads`.
    pub head_dim: usize,
    /// Tokens [rows of `token_embd.weight`].
    pub vocab: usize,
    /// Most tokens and soft-token rows that one sequence may have [`context_length`].
    pub context: usize,
    /// Base of the rotary position frequencies [`rope.freq_base`].
    pub rope_theta: f32,
    /// [`attention.layer_norm_rms_epsilon`].
    pub norm_eps: f32,
}

impl LlamaConfig {
    /// Reads and checks the metadata.
    ///
    /// # Errors
    /// `pack_invalid` naming the key, for another architecture, extents that do not fit together, or rotary scaling.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        read(gguf).map_err(|e| e.context(gguf.path().display()))
    }

    /// Width of all query heads.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Sine and cosine of each pair's angle at `position`, `[head_dim / 2]`: pair `i` turns by `position * theta^(-2i / head_dim)`.
    pub fn rotary(&self, position: usize, turns: &mut [(f32, f32)]) {
        for (i, turn) in turns.iter_mut().enumerate() {
            let frequency = 1.0 / self.rope_theta.powf((2 * i) as f32 / self.head_dim as f32);
            *turn = (position as f32 * frequency).sin_cos();
        }
    }

    pub(super) fn attention(&self) -> AttentionShape {
        AttentionShape { heads: self.heads, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }
}

fn read(gguf: &Gguf) -> Result<LlamaConfig> {
    let architecture = gguf.text("general.architecture")?.unwrap_or("(none)");
    if architecture != "llama" {
        return Err(Error::pack(format!("the model's architecture is {architecture:?}, this library runs \"llama\"")));
    }
    if let Some(scaling) = gguf.text("llama.rope.scaling.type")?.filter(|&s| s != "none") {
        return Err(Error::pack(format!("rotary scaling {scaling:?} is not supported")));
    }
    let hidden = extent(gguf, "llama.embedding_length", None)?;
    let heads = extent(gguf, "llama.attention.head_count", None)?;
    let kv_heads = extent(gguf, "llama.attention.head_count_kv", Some(heads))?;
    let head_dim = extent(gguf, "llama.attention.key_length", Some(hidden / heads))?;
    let layers = extent(gguf, "llama.block_count", None)?;
    let embedding = gguf.tensor("token_embd.weight")?;
    let vocab = embedding.shape.get(1).copied().unwrap_or(0);
    let config = LlamaConfig {
        hidden,
        intermediate: extent(gguf, "llama.feed_forward_length", None)?,
        layers,
        heads,
        kv_heads,
        head_dim,
        vocab,
        context: extent(gguf, "llama.context_length", None)?,
        rope_theta: float(gguf, "llama.rope.freq_base", Some(10_000.0))?,
        norm_eps: float(gguf, "llama.attention.layer_norm_rms_epsilon", None)?,
    };
    let fits = layers <= MAX_LAYERS
        && kv_heads <= heads
        && heads % kv_heads == 0
        && head_dim >= 2
        && head_dim % 2 == 0
        && vocab > 0
        && vocab <= u32::MAX as usize;
    if !fits {
        return Err(Error::pack(format!("the model's extents do not fit together: {config:?}; the file is damaged")));
    }
    if extent(gguf, "llama.rope.dimension_count", Some(head_dim))? != head_dim {
        return Err(Error::pack("\"llama.rope.dimension_count\" differs from the width of a head: not supported"));
    }
    Ok(config)
}

fn extent(gguf: &Gguf, key: &str, default: Option<usize>) -> Result<usize> {
    let value = gguf.uint(key)?.or(default).ok_or_else(|| Error::pack(format!("metadata {key:?} is missing")))?;
    if value == 0 || value > MAX_EXTENT {
        return Err(Error::pack(format!("metadata {key:?} is {value}; the file is damaged")));
    }
    Ok(value)
}

fn float(gguf: &Gguf, key: &str, default: Option<f64>) -> Result<f32> {
    let value = gguf.float(key)?.or(default).ok_or_else(|| Error::pack(format!("metadata {key:?} is missing")))?;
    if value.is_finite() && value > 0.0 {
        Ok(value as f32)
    } else {
        Err(Error::pack(format!("metadata {key:?} is {value}; the file is damaged")))
    }
}
