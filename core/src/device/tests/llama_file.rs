//! A small LLaMA file.

use std::path::{Path, PathBuf};

use super::noise;
use crate::gguf::GgufHeader;
use crate::kernels::{pack, WeightType};
use crate::llama::{Llama, LoraWeights};

/// Wide enough for the types of 256 values to a block.
pub(super) const HIDDEN: usize = 256;
pub(super) const VOCAB: usize = 320;
pub(super) const CONTEXT: usize = 900;
const INTERMEDIATE: usize = 512;
const LAYERS: usize = 3;
const HEADS: usize = 8;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 32;

/// A model of three layers with random weights, whose matrices are stored as `kind`.
pub(super) fn write(dir: &Path, kind: WeightType) -> PathBuf {
    let mut header = GgufHeader::new("llama");
    for (key, value) in [
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INTERMEDIATE),
        ("block_count", LAYERS),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", HEAD_DIM),
        ("context_length", CONTEXT),
    ] {
        header.uint(&format!("llama.{key}"), value).unwrap();
    }
    header.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    header.tensor("token_embd.weight", &[VOCAB, HIDDEN], kind).unwrap();
    header.tensor("output.weight", &[VOCAB, HIDDEN], kind).unwrap();
    header.tensor("output_norm.weight", &[HIDDEN], WeightType::F32).unwrap();
    for layer in 0..LAYERS {
        let mut tensor = |name: &str, shape: &[usize], kind| {
            header.tensor(&format!("blk.{layer}.{name}.weight"), shape, kind).unwrap();
        };
        tensor("attn_norm", &[HIDDEN], WeightType::F32);
        tensor("attn_q", &[q, HIDDEN], kind);
        tensor("attn_k", &[kv, HIDDEN], kind);
        tensor("attn_v", &[kv, HIDDEN], kind);
        tensor("attn_output", &[HIDDEN, q], kind);
        tensor("ffn_norm", &[HIDDEN], WeightType::F32);
        tensor("ffn_gate", &[INTERMEDIATE, HIDDEN], kind);
        tensor("ffn_up", &[INTERMEDIATE, HIDDEN], kind);
        tensor("ffn_down", &[HIDDEN, INTERMEDIATE], kind);
    }
    let mut bytes = header.encode();
    for (seed, tensor) in header.tensors().iter().enumerate() {
        let count = tensor.shape.iter().product();
        let columns = tensor.shape.last().copied().unwrap_or(1);
        // Rows of about unit length times two, so that attention and gates are not flat.
        let (middle, spread) = if tensor.shape.len() == 1 { (1.0, 0.3) } else { (0.0, 3.5 / (columns as f32).sqrt()) };
        let values: Vec<f32> = noise(seed as u64 + 1, count).iter().map(|v| middle + spread * v).collect();
        let end = bytes.len() + tensor.padded();
        pack(tensor.kind, &values, &mut bytes).unwrap();
        bytes.resize(end, 0);
    }
    let path = dir.join("llm.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Two models of the same file.
pub(super) fn pair(kind: WeightType) -> [Llama; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), kind);
    // The mapping outlives the file's name.
    [0, 1].map(|_| Llama::from_gguf(&path).unwrap())
}

/// Rows of tokens and of no token, mixed.
pub(super) fn mixed_rows(model: &Llama, count: usize) -> Vec<f32> {
    let ids: Vec<u32> = (0..count).map(|i| (i * 37 % VOCAB) as u32).collect();
    let mut rows = model.embed(&ids).unwrap();
    for (i, soft) in noise(99, count * HIDDEN).chunks_exact(HIDDEN).enumerate().filter(|(i, _)| i % 5 == 2) {
        rows[i * HIDDEN..(i + 1) * HIDDEN].copy_from_slice(soft);
    }
    rows
}

/// An adapter of rank 4 for the first two layers.
pub(super) fn lora(model: &Llama) -> LoraWeights {
    let mut tensors = Vec::new();
    for (layer, (kind, out)) in
        [(0, ("q", HEADS * HEAD_DIM)), (0, ("v", KV_HEADS * HEAD_DIM)), (1, ("q", HEADS * HEAD_DIM))]
    {
        for (side, shape) in [("a", vec![4, HIDDEN]), ("b", vec![out, 4])] {
            let values = noise(out as u64 + layer, shape.iter().product());
            let bytes: Vec<u8> = values.iter().flat_map(|v| (v * 0.2).to_le_bytes()).collect();
            tensors.push((format!("lora.{layer}.{kind}.{side}"), shape, bytes));
        }
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
        (name.clone(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    LoraWeights::from_safetensors(&safetensors::SafeTensors::deserialize(&file).unwrap(), model.config(), 2.0).unwrap()
}
