//! A language model of LLaMA-2-7B's shape with random weights, as a file that every engine reads. Blocks are drawn as they are stored: nothing is
//! quantised, and what the model says means nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use emotion_llama_core::gguf::GgufHeader;
use emotion_llama_core::kernels::WeightType;
use emotion_llama_core::{Error, Result};

const HIDDEN: usize = 4096;
const INTERMEDIATE: usize = 11_008;
const LAYERS: usize = 32;
const HEADS: usize = 32;
const VOCABULARY: usize = 32_000;
/// Values have about this deviation, which keeps activations near unit size.
const DEVIATION: f32 = 1.0 / 64.0;

/// Writes the file; all matrices are stored as `kind`.
///
/// # Errors
/// `invalid_argument` for a type that is none of q4_0, q8_0, q4_k, or if the file cannot be written.
pub fn write(path: &Path, kind: &str) -> Result<()> {
    let kind = match kind {
        "q4_0" => WeightType::Q4_0,
        "q8_0" => WeightType::Q8_0,
        "q4_k" => WeightType::Q4K,
        _ => return Err(Error::invalid_argument(format!("{kind:?} is none of q4_0, q8_0, q4_k"))),
    };
    let header = header(kind)?;
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header.encode())?;
        let mut random = Random(1);
        for tensor in header.tensors() {
            let mut rest = tensor.bytes;
            if tensor.kind == WeightType::F32 {
                (0..rest / 4).try_for_each(|_| file.write_all(&1f32.to_le_bytes()))?;
                rest = 0;
            }
            while rest > 0 {
                let block = block(kind, &mut random);
                file.write_all(&block)?;
                rest -= block.len();
            }
            file.write_all(&vec![0; tensor.padded() - tensor.bytes])?;
        }
        file.flush()
    });
    written.map_err(|e| Error::invalid_argument(format!("cannot write {}: {e}", path.display())))
}

fn header(kind: WeightType) -> Result<GgufHeader> {
    let mut header = GgufHeader::new("llama");
    header.text("general.name", "random weights of LLaMA-2-7B's shape");
    let head = HIDDEN / HEADS;
    for (key, value) in [
        ("context_length", 4096),
        ("embedding_length", HIDDEN),
        ("block_count", LAYERS),
        ("feed_forward_length", INTERMEDIATE),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", HEADS),
        ("rope.dimension_count", head),
        ("vocab_size", VOCABULARY),
    ] {
        header.uint(&format!("llama.{key}"), value)?;
    }
    header.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    header.float("llama.rope.freq_base", 10_000.0);
    header.text("tokenizer.ggml.model", "no_vocab");
    header.tensor("token_embd.weight", &[VOCABULARY, HIDDEN], kind)?;
    for i in 0..LAYERS {
        let name = |part: &str| format!("blk.{i}.{part}.weight");
        header.tensor(&name("attn_norm"), &[HIDDEN], WeightType::F32)?;
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            header.tensor(&name(part), &[HIDDEN, HIDDEN], kind)?;
        }
        header.tensor(&name("ffn_norm"), &[HIDDEN], WeightType::F32)?;
        header.tensor(&name("ffn_gate"), &[INTERMEDIATE, HIDDEN], kind)?;
        header.tensor(&name("ffn_up"), &[INTERMEDIATE, HIDDEN], kind)?;
        header.tensor(&name("ffn_down"), &[HIDDEN, INTERMEDIATE], kind)?;
    }
    header.tensor("output_norm.weight", &[HIDDEN], WeightType::F32)?;
    header.tensor("output.weight", &[VOCABULARY, HIDDEN], kind)?;
    Ok(header)
}

/// One block: a fixed scale, and integers that spread about zero.
fn block(kind: WeightType, random: &mut Random) -> Vec<u8> {
    let mut block = vec![0u8; kind.block_bytes()];
    let head = match kind {
        WeightType::Q8_0 | WeightType::Q4_0 => 2,
        _ => 16,
    };
    for bytes in block[head..].chunks_mut(8) {
        let drawn = random.next().to_le_bytes();
        bytes.copy_from_slice(&drawn[..bytes.len()]);
    }
    let half = |value: f32| half_bits(value).to_le_bytes();
    match kind {
        // Bytes of -128 to 127 deviate by 74, halves of them from 0 to 15 by 4.6.
        WeightType::Q8_0 => block[..2].copy_from_slice(&half(DEVIATION / 74.0)),
        WeightType::Q4_0 => block[..2].copy_from_slice(&half(DEVIATION / 4.6)),
        _ => {
            // All eight scales are 32, all minima 32 of a step that is 7.5 as large: the lower six bits of the first eight bytes hold four of each, and
            // their top two bits and the other four bytes the rest.
            block[..2].copy_from_slice(&half(DEVIATION / 4.6 / 32.0));
            block[2..4].copy_from_slice(&half(DEVIATION / 4.6 / 32.0 * 7.5));
            block[4..12].fill(32 | 0x80);
            block[12..16].fill(0);
        }
    }
    block
}

/// A positive normal number as a half, cut off.
fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    (((bits >> 13) & 0x3ff) | (((bits >> 23) - 112) << 10)) as u16
}

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}
