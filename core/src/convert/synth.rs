//! Packs of the published shapes with random weights: for measuring speed and memory without the published files.
//!
//! The tensors have the published names and go the same way as converted ones. Weights are uniform, seeded by the tensor's name,
//! with a spread that keeps activations near unit size. The tokenizer knows the words of the published prompts, so that a prompt
//! is about as long as with the real one.

use std::path::PathBuf;

use indexmap::IndexMap;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::adapter::SavedConfig;
use super::hubert::HubertSizes;
use super::llama_sizes::LlamaSizes;
use super::plan::Quantization;
use super::sizes::{Sizes, VitSizes};
use super::source::TensorSource;
use super::{write, Parts, Progress};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::llama::Vocabulary;
use crate::pack::Pack;
use crate::prompt::published::{segments, PromptPath};
use crate::prompt::{PromptParts, Segment, Task};

/// Values that are drawn from one random stream.
const CHUNK: usize = 1 << 20;
/// Which shapes a synthetic pack has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SynthShape {
    /// The published ones: LLaMA-2-7b, EVA ViT-g/14, HuBERT-large, MAE and VideoMAE ViT-L.
    Full,
    /// A few layers, some dozen values wide.
    Tiny,
    /// One layer each, small pictures, and no tokens but those of the prompts: opens and answers in milliseconds.
    Least,
}

/// What a synthetic pack is like.
#[derive(Debug, Clone)]
pub struct SynthOptions {
    /// Its shapes.
    pub shape: SynthShape,
    /// How weights are stored.
    pub quantization: Quantization,
    /// The built-in pack, as in [`ConvertOptions`](super::ConvertOptions).
    pub perception: Option<Pack>,
    /// Another seed gives other weights.
    pub seed: u64,
    /// The pack's directory, which must not exist.
    pub out: PathBuf,
}

/// Writes a synthetic pack, and gives its directory. Resumable as [`convert`](super::convert) is.
///
/// # Errors
/// `invalid_argument` if the directory exists or cannot be written; `cancelled`.
pub fn synthesize(
    options: &SynthOptions,
    progress: &mut dyn FnMut(Progress<'_>),
    cancel: &CancelToken,
) -> Result<PathBuf> {
    let extents = match options.shape {
        SynthShape::Full => FULL,
        SynthShape::Tiny => TINY,
        SynthShape::Least => LEAST,
    };
    let seed = options.seed;
    let vocabulary = vocabulary(extents.vocabulary);
    let [llama, eva, checkpoint, hubert, mae, videomae] = [
        llama(&extents, vocabulary.pieces.len()),
        eva(&extents),
        checkpoint(&extents),
        hubert(&extents),
        mae(&extents),
        videomae(&extents),
    ]
    .map(|tensors| RandomWeights { tensors, seed });
    let vit = |vit: &Vit| VitSizes { num_heads: Some(vit.heads), depth: Some(vit.depth), ..VitSizes::default() };
    let parts = Parts {
        llama: &llama,
        llama_sizes: LlamaSizes {
            hidden_size: extents.hidden,
            intermediate_size: extents.intermediate,
            num_hidden_layers: extents.layers,
            num_attention_heads: extents.heads,
            num_key_value_heads: None,
            head_dim: None,
            max_position_embeddings: 4096,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tie_word_embeddings: false,
        },
        vocabulary,
        eva: &eva,
        checkpoint: &checkpoint,
        hubert: &hubert,
        hubert_sizes: HubertSizes {
            hidden_size: extents.clip.width,
            num_hidden_layers: extents.hubert_depth,
            num_attention_heads: extents.clip.heads,
            intermediate_size: extents.clip.mlp,
            conv_dim: vec![extents.conv; KERNELS.len()],
            conv_kernel: KERNELS.to_vec(),
            conv_stride: vec![5, 2, 2, 2, 2, 2, 2],
            num_conv_pos_embeddings: 128,
            num_conv_pos_embedding_groups: 16,
            layer_norm_eps: 1e-5,
            do_stable_layer_norm: true,
            feat_extract_norm: "layer".into(),
            model_type: "hubert".into(),
        },
        mae: Some(&mae),
        videomae: Some(&videomae),
        saved: SavedConfig::of(None),
        sizes: Sizes {
            eva: VitSizes { image_size: Some(PATCH_EVA * extents.picture_grid), ..vit(&extents.eva) },
            mae: vit(&extents.clip),
            videomae: VitSizes {
                image_size: Some(PATCH * extents.face_grid),
                num_frames: Some(extents.frames),
                ..vit(&extents.clip)
            },
            ..Sizes::default()
        },
        reasons: true,
        quantization: options.quantization,
        merge_lora: false,
        perception: options.perception.as_ref(),
        name: options.out.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        description: "Random weights in Emotion-LLaMA's shapes, for measuring; its answers mean nothing.".into(),
        licence: "Apache-2.0".into(),
    };
    let identity = format!(
        "synth {:?} {} {seed} {:?} {}",
        options.shape,
        options.quantization.name(),
        options.perception.as_ref().map(Pack::digest),
        env!("CARGO_PKG_VERSION")
    );
    write(&parts, &options.out, &identity, progress, cancel)
}

#[derive(Debug, Clone, Copy)]
struct Vit {
    width: usize,
    depth: usize,
    heads: usize,
    mlp: usize,
}

#[derive(Debug, Clone, Copy)]
struct Extents {
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    rank: usize,
    eva: Vit,
    /// MAE and VideoMAE; HuBERT has the same width.
    clip: Vit,
    hubert_depth: usize,
    conv: usize,
    /// Patches along a side of EVA's pictures, and in its file's positions.
    picture_grid: usize,
    position_grid: usize,
    /// Patches along a side of MAE's and VideoMAE's pictures.
    face_grid: usize,
    /// Frames that VideoMAE takes.
    frames: usize,
    /// Tokens; the prompts' own where they are more.
    vocabulary: usize,
}

const FULL: Extents = Extents {
    hidden: 4096,
    intermediate: 11_008,
    layers: 32,
    heads: 32,
    rank: 64,
    eva: Vit { width: 1408, depth: 39, heads: 16, mlp: 6144 },
    clip: Vit { width: 1024, depth: 24, heads: 16, mlp: 4096 },
    hubert_depth: 24,
    conv: 512,
    picture_grid: 32,
    position_grid: 16,
    face_grid: 14,
    frames: 16,
    vocabulary: 32_000,
};
const TINY: Extents = Extents {
    hidden: 64,
    intermediate: 160,
    layers: 3,
    heads: 4,
    rank: 8,
    eva: Vit { width: 88, depth: 3, heads: 4, mlp: 384 },
    clip: Vit { width: 48, depth: 2, heads: 4, mlp: 192 },
    hubert_depth: 3,
    conv: 32,
    ..FULL
};
const LEAST: Extents = Extents {
    hidden: 32,
    intermediate: 32,
    layers: 1,
    heads: 2,
    rank: 2,
    eva: Vit { width: 16, depth: 1, heads: 2, mlp: 16 },
    clip: Vit { width: 16, depth: 1, heads: 2, mlp: 16 },
    hubert_depth: 1,
    conv: 4,
    picture_grid: 2,
    position_grid: 2,
    face_grid: 2,
    frames: 2,
    vocabulary: 0,
};
/// Pixels along a side of a patch, of EVA and of MAE and VideoMAE.
const PATCH_EVA: usize = 14;
const PATCH: usize = 16;
const KERNELS: [usize; 7] = [10, 3, 3, 3, 3, 2, 2];

/// Shape of each tensor, and how far its values spread about what; a spread of 0 is a constant.
type Tensors = IndexMap<String, (Vec<usize>, Spread)>;

#[derive(Debug, Clone, Copy)]
struct Spread {
    centre: f32,
    deviation: f32,
}

/// Weights that are drawn when they are read.
struct RandomWeights {
    tensors: Tensors,
    seed: u64,
}

impl TensorSource for RandomWeights {
    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(shape, _)| shape.as_slice())
    }

    fn read(&self, name: &str) -> Result<Vec<f32>> {
        let (shape, spread) =
            self.tensors.get(name).ok_or_else(|| Error::internal(format!("no random tensor {name:?}")))?;
        let mut values = vec![0f32; shape.iter().product()];
        let key: [u8; 32] = Sha256::digest(format!("{} {name}", self.seed)).into();
        // A uniform distribution of unit deviation lies within the square root of 3.
        let step = spread.deviation * 3f32.sqrt() / 32_768.0;
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| {
            let mut random = ChaCha8Rng::from_seed(key);
            random.set_stream(i as u64);
            let mut bytes = vec![0u8; 2 * chunk.len()];
            random.fill_bytes(&mut bytes);
            for (value, bytes) in chunk.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = spread.centre + f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) * step;
            }
        });
        Ok(values)
    }

    fn place(&self) -> String {
        format!("random weights, seed {}", self.seed)
    }
}

/// A weight whose product with unit inputs is of unit size.
fn weight(tensors: &mut Tensors, name: &str, shape: &[usize]) {
    let fan_in: usize = shape.iter().skip(1).product();
    let spread = Spread { centre: 0.0, deviation: 1.0 / (fan_in.max(1) as f32).sqrt() };
    tensors.insert(name.to_owned(), (shape.to_vec(), spread));
}

fn small(tensors: &mut Tensors, name: &str, shape: &[usize]) {
    tensors.insert(name.to_owned(), (shape.to_vec(), Spread { centre: 0.0, deviation: 0.02 }));
}

fn linear(tensors: &mut Tensors, name: &str, rows: usize, columns: usize) {
    weight(tensors, &format!("{name}.weight"), &[rows, columns]);
    small(tensors, &format!("{name}.bias"), &[rows]);
}

fn ones(tensors: &mut Tensors, name: &str, width: usize) {
    tensors.insert(name.to_owned(), (vec![width], Spread { centre: 1.0, deviation: 0.0 }));
}

fn norm(tensors: &mut Tensors, name: &str, width: usize) {
    ones(tensors, &format!("{name}.weight"), width);
    small(tensors, &format!("{name}.bias"), &[width]);
}

fn llama(e: &Extents, tokens: usize) -> Tensors {
    let mut t = Tensors::new();
    small(&mut t, "model.embed_tokens.weight", &[tokens, e.hidden]);
    for i in 0..e.layers {
        for part in ["q", "k", "v", "o"] {
            weight(&mut t, &format!("model.layers.{i}.self_attn.{part}_proj.weight"), &[e.hidden, e.hidden]);
        }
        for part in ["gate", "up"] {
            weight(&mut t, &format!("model.layers.{i}.mlp.{part}_proj.weight"), &[e.intermediate, e.hidden]);
        }
        weight(&mut t, &format!("model.layers.{i}.mlp.down_proj.weight"), &[e.hidden, e.intermediate]);
        for part in ["input_layernorm", "post_attention_layernorm"] {
            ones(&mut t, &format!("model.layers.{i}.{part}.weight"), e.hidden);
        }
    }
    ones(&mut t, "model.norm.weight", e.hidden);
    weight(&mut t, "lm_head.weight", &[tokens, e.hidden]);
    t
}

fn checkpoint(e: &Extents) -> Tensors {
    let mut t = Tensors::new();
    for i in 0..e.layers {
        for part in ["q", "v"] {
            let name = format!("llama_model.base_model.model.model.layers.{i}.self_attn.{part}_proj");
            weight(&mut t, &format!("{name}.lora_A.weight"), &[e.rank, e.hidden]);
            small(&mut t, &format!("{name}.lora_B.weight"), &[e.hidden, e.rank]);
        }
    }
    linear(&mut t, "llama_proj", e.hidden, 4 * e.eva.width);
    for i in 1..=3 {
        linear(&mut t, &format!("feats_llama_proj{i}"), e.hidden, e.clip.width);
    }
    linear(&mut t, "cls_tk_llama_proj", e.hidden, e.eva.width);
    t
}

fn blocks(t: &mut Tensors, prefix: &str, vit: &Vit, key_bias: bool) {
    let Vit { width, depth, mlp, .. } = *vit;
    for i in 0..depth {
        let name = |part: &str| format!("{prefix}blocks.{i}.{part}");
        norm(t, &name("norm1"), width);
        weight(t, &name("attn.qkv.weight"), &[3 * width, width]);
        if key_bias {
            small(t, &name("attn.qkv.bias"), &[3 * width]);
        } else {
            small(t, &name("attn.q_bias"), &[width]);
            small(t, &name("attn.v_bias"), &[width]);
        }
        linear(t, &name("attn.proj"), width, width);
        norm(t, &name("norm2"), width);
        linear(t, &name("mlp.fc1"), mlp, width);
        linear(t, &name("mlp.fc2"), width, mlp);
    }
}

fn eva(e: &Extents) -> Tensors {
    let (mut t, width) = (Tensors::new(), e.eva.width);
    small(&mut t, "cls_token", &[1, 1, width]);
    small(&mut t, "pos_embed", &[1, 1 + e.position_grid.pow(2), width]);
    weight(&mut t, "patch_embed.proj.weight", &[width, 3, PATCH_EVA, PATCH_EVA]);
    small(&mut t, "patch_embed.proj.bias", &[width]);
    blocks(&mut t, "", &e.eva, false);
    t
}

fn mae(e: &Extents) -> Tensors {
    let (mut t, width) = (Tensors::new(), e.clip.width);
    small(&mut t, "cls_token", &[1, 1, width]);
    small(&mut t, "pos_embed", &[1, 1 + e.face_grid.pow(2), width]);
    weight(&mut t, "patch_embed.proj.weight", &[width, 3, PATCH, PATCH]);
    small(&mut t, "patch_embed.proj.bias", &[width]);
    blocks(&mut t, "", &e.clip, true);
    norm(&mut t, "norm", width);
    t
}

fn videomae(e: &Extents) -> Tensors {
    let (mut t, width) = (Tensors::new(), e.clip.width);
    weight(&mut t, "encoder.patch_embed.proj.weight", &[width, 3, 2, PATCH, PATCH]);
    small(&mut t, "encoder.patch_embed.proj.bias", &[width]);
    blocks(&mut t, "encoder.", &e.clip, false);
    t
}

fn hubert(e: &Extents) -> Tensors {
    let (mut t, width, mlp) = (Tensors::new(), e.clip.width, e.clip.mlp);
    let mut input = 1;
    for (i, kernel) in KERNELS.into_iter().enumerate() {
        let name = format!("feature_extractor.conv_layers.{i}");
        weight(&mut t, &format!("{name}.conv.weight"), &[e.conv, input, kernel]);
        small(&mut t, &format!("{name}.conv.bias"), &[e.conv]);
        norm(&mut t, &format!("{name}.layer_norm"), e.conv);
        input = e.conv;
    }
    norm(&mut t, "feature_projection.layer_norm", e.conv);
    linear(&mut t, "feature_projection.projection", width, e.conv);
    let conv = "encoder.pos_conv_embed.conv";
    t.insert(format!("{conv}.weight_g"), (vec![1, 1, 128], Spread { centre: 1.0, deviation: 0.0 }));
    weight(&mut t, &format!("{conv}.weight_v"), &[width, width / 16, 128]);
    small(&mut t, &format!("{conv}.bias"), &[width]);
    for i in 0..e.hubert_depth {
        let name = |part: &str| format!("encoder.layers.{i}.{part}");
        norm(&mut t, &name("layer_norm"), width);
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            linear(&mut t, &name(&format!("attention.{part}")), width, width);
        }
        norm(&mut t, &name("final_layer_norm"), width);
        linear(&mut t, &name("feed_forward.intermediate_dense"), mlp, width);
        linear(&mut t, &name("feed_forward.output_dense"), width, mlp);
    }
    norm(&mut t, "encoder.layer_norm", width);
    t
}

/// A vocabulary of at least `size` tokens: bytes, and the words of the published prompts, each built up from its beginning.
fn vocabulary(size: usize) -> Vocabulary {
    const UNKNOWN: i32 = 2;
    const CONTROL: i32 = 3;
    const NORMAL: i32 = 1;
    const UNUSED: i32 = 5;
    const BYTE: i32 = 6;
    let mut pieces: IndexMap<String, i32> = IndexMap::new();
    pieces.extend([("<unk>".to_owned(), UNKNOWN), ("<s>".to_owned(), CONTROL), ("</s>".to_owned(), CONTROL)]);
    pieces.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    for path in [PromptPath::Train, PromptPath::Eval, PromptPath::Demo] {
        for task in [Task::Emotion, Task::Reason] {
            let parts = PromptParts {
                task,
                question: None,
                transcript: Some("I did not expect to see you here"),
                labels: None,
            };
            for segment in segments(path, parts) {
                let Segment::Text(text) = segment else { continue };
                for word in text.split(' ').filter(|word| !word.is_empty()) {
                    let spelled: Vec<char> = format!("\u{2581}{word}").chars().collect();
                    for end in 2..=spelled.len() {
                        pieces.entry(spelled[..end].iter().collect()).or_insert(NORMAL);
                    }
                }
            }
        }
    }
    let alone = (' '..='~').map(|c| if c == ' ' { '\u{2581}' } else { c });
    for character in alone {
        pieces.entry(character.to_string()).or_insert(NORMAL);
    }
    for spare in pieces.len()..size {
        pieces.insert(format!("<unused{spare}>"), UNUSED);
    }
    let scores = (0..pieces.len()).map(|i| -(i as f32)).collect();
    let (pieces, kinds) = pieces.into_iter().unzip();
    Vocabulary { pieces, scores, kinds, bos: 1, eos: 2, unk: 0 }
}
