//! LLaMA: from a Hugging Face folder to llama.cpp's names and order of rows.

use std::path::Path;

use serde::Deserialize;

use super::adapter::Lora;
use super::plan::{GgufPlan, Quantization};
use super::sizes::{check_extents, folder_config};
use super::source::{check_layers, expect, shape, TensorSource};
use crate::error::{Error, Result};
use crate::kernels::{sgemm, View, WeightType};
use crate::llama::{interleave_heads, Vocabulary};

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

/// Plans `llama.gguf`. A `lora` is added to the weights of queries and values.
pub(super) fn plan<'a>(
    source: &'a dyn TensorSource,
    sizes: &LlamaSizes,
    vocabulary: &Vocabulary,
    lora: Option<&'a Lora<'a>>,
    quantization: Quantization,
) -> Result<GgufPlan<'a>> {
    let (hidden, wide, head) = (sizes.hidden_size, sizes.intermediate_size, sizes.head());
    let (q, kv) = (sizes.num_attention_heads * head, sizes.kv_heads() * head);
    let vocab = vocabulary.pieces.len();
    check_layers(source, "model.layers.", sizes.num_hidden_layers)?;
    let rows = shape(source, "model.embed_tokens.weight")?.first().copied().unwrap_or(0);
    if rows != vocab {
        return Err(Error::invalid_argument(format!(
            "{}: its tokenizer has {vocab} tokens, its embedding {rows}; the files do not belong together",
            source.place()
        )));
    }
    let mut plan = GgufPlan::new("llama");
    metadata(&mut plan, sizes, vocabulary)?;
    let embedding = quantization.careful(hidden);
    plan.copy(source, "model.embed_tokens.weight", "token_embd.weight", &[vocab, hidden], embedding)?;
    for i in 0..sizes.num_hidden_layers {
        let from = format!("model.layers.{i}.");
        let to = format!("blk.{i}.");
        for (theirs, ours) in [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")] {
            let (theirs, ours) = (format!("{from}{theirs}.weight"), format!("{to}{ours}.weight"));
            plan.copy(source, &theirs, &ours, &[hidden], WeightType::F32)?;
        }
        for (name, ours, rows, turned) in
            [("q", "attn_q", q, true), ("k", "attn_k", kv, true), ("v", "attn_v", kv, false)]
        {
            let theirs = format!("{from}self_attn.{name}_proj.weight");
            expect(source, &theirs, &[rows, hidden])?;
            let kind = quantization.language(hidden);
            plan.add(&format!("{to}{ours}.weight"), &[rows, hidden], kind, move || {
                let mut weight = source.read(&theirs)?;
                if let Some(lora) = lora {
                    lora.add(i, name, &mut weight)?;
                }
                Ok(if turned { interleave_heads(&weight, hidden, head) } else { weight })
            })?;
        }
        let dense = [
            ("self_attn.o_proj", "attn_output", hidden, q),
            ("mlp.gate_proj", "ffn_gate", wide, hidden),
            ("mlp.up_proj", "ffn_up", wide, hidden),
            ("mlp.down_proj", "ffn_down", hidden, wide),
        ];
        for (theirs, ours, rows, columns) in dense {
            let kind = quantization.language(columns);
            let (theirs, ours) = (format!("{from}{theirs}.weight"), format!("{to}{ours}.weight"));
            plan.copy(source, &theirs, &ours, &[rows, columns], kind)?;
        }
    }
    plan.copy(source, "model.norm.weight", "output_norm.weight", &[hidden], WeightType::F32)?;
    if source.shape("lm_head.weight").is_some() || !sizes.tie_word_embeddings {
        plan.copy(source, "lm_head.weight", "output.weight", &[vocab, hidden], embedding)?;
    }
    Ok(plan)
}

fn metadata(plan: &mut GgufPlan<'_>, sizes: &LlamaSizes, vocabulary: &Vocabulary) -> Result<()> {
    let header = &mut plan.header;
    header.text("general.name", "Emotion-LLaMA's language model");
    for (key, value) in [
        ("context_length", sizes.max_position_embeddings),
        ("embedding_length", sizes.hidden_size),
        ("block_count", sizes.num_hidden_layers),
        ("feed_forward_length", sizes.intermediate_size),
        ("attention.head_count", sizes.num_attention_heads),
        ("attention.head_count_kv", sizes.kv_heads()),
        ("attention.key_length", sizes.head()),
        ("attention.value_length", sizes.head()),
        ("rope.dimension_count", sizes.head()),
        ("vocab_size", vocabulary.pieces.len()),
    ] {
        header.uint(&format!("llama.{key}"), value)?;
    }
    header.float("llama.attention.layer_norm_rms_epsilon", sizes.rms_norm_eps);
    header.float("llama.rope.freq_base", sizes.rope_theta);
    vocabulary.describe(header)
}

/// `weight += scale * b a`: `weight` `[rows, columns]`, `b` `[rows, rank]`, `a` `[rank, columns]`.
pub(super) fn add_product(weight: &mut [f32], b: &[f32], a: &[f32], rank: usize, scale: f32) {
    let (rows, columns) = (b.len() / rank, a.len() / rank);
    let mut product = vec![0f32; rows * columns];
    sgemm(&mut product, columns, View::new(b, rows, rank), View::new(a, rank, columns), scale, true);
    weight.iter_mut().zip(product).for_each(|(w, p)| *w += p);
}
