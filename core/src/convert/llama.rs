//! LLaMA: from a Hugging Face folder to llama.cpp's names and order of rows.

use super::adapter::Lora;
use super::llama_sizes::LlamaSizes;
use super::plan::{GgufPlan, Quantization};
use super::source::{check_layers, expect, shape, TensorSource};
use crate::error::{Error, Result};
use crate::kernels::WeightType;
use crate::llama::{interleave_heads, Vocabulary};

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
    if let Some(bias) = source.names().into_iter().find(|name| name.ends_with(".bias")) {
        return Err(Error::invalid_argument(format!("{}: has {bias:?}; LLaMA-2 has no biases", source.place())));
    }
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
