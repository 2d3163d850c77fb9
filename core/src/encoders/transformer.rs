//! The transformer layers of the encoders: dense layers, layer normalisation, attention, pre-norm blocks.
//!
//! Follows timm's `Block` (ViT) and transformers' `HubertEncoderLayerStableLayerNorm`, which compute the same:
//! `x += proj(attention(norm1(x)))`, then `x += fc2(gelu(fc1(norm2(x))))`. Activations are f32 and row-major, one row per
//! token; weights stay in their mapped file.

use rayon::prelude::*;

use super::metadata::Metadata;
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::gguf::{vector, Gguf, Matrix};
use crate::kernels::{self, linear, AttentionShape, Finish, Isa, Precision};

/// Rows that one task of a row-wise operation takes.
const ROWS_PER_TASK: usize = 16;
/// Tokens of one product, which bounds the time between looks at the cancel token.
const PRODUCT_ROWS: usize = 4096;
/// Tokens whose feed-forward activations are held at once.
const FEED_FORWARD_ROWS: usize = 2048;
/// Runs `task` over the rows of `x` `[n, width]`, several at a time.
pub(super) fn for_rows(x: &mut [f32], width: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = ROWS_PER_TASK;
    x.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(i, chunk)| task(i * rows, chunk));
}

/// A dense layer, `x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Matrix,
    pub(crate) bias: Vec<f32>,
}

impl Linear {
    /// `{name}.weight` `[rows, columns]` and `{name}.bias` `[rows]`.
    pub(super) fn open(gguf: &Gguf, name: &str, rows: usize, columns: usize) -> Result<Self> {
        Ok(Self {
            weight: Matrix::open(gguf, &format!("{name}.weight"), rows, columns)?,
            bias: vector(gguf, &format!("{name}.bias"), &[rows])?,
        })
    }

    /// `x` `[n, columns]` to `[n, rows]`.
    pub(super) fn forward(&self, isa: Isa, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let mut out = vec![0f32; x.len() / self.weight.columns() * self.weight.rows()];
        forward_into(isa, x, [self], Finish::Store, [&mut out], cancel)?;
        Ok(out)
    }
}

/// `finish` of what `layers` make of the same `x` `[n, columns]`, each into its `out` `[n, rows]`.
fn forward_into<const W: usize>(
    isa: Isa,
    x: &[f32],
    layers: [&Linear; W],
    finish: Finish,
    mut out: [&mut [f32]; W],
    cancel: &CancelToken,
) -> Result<()> {
    let columns = layers.first().map_or(1, |layer| layer.weight.columns());
    for (part, x) in x.chunks(PRODUCT_ROWS * columns).enumerate() {
        let n = x.len() / columns;
        let mut layer = layers.iter();
        let out = out.each_mut().map(|out| {
            let rows = layer.next().map_or(0, |layer| layer.weight.rows());
            let first = part * PRODUCT_ROWS * rows;
            out.get_mut(first..first + n * rows).unwrap_or_default()
        });
        let layers = layers.map(|layer| (layer.weight.weights(), layer.bias.as_slice()));
        linear(isa, Precision::Int8, x, layers, finish, out, cancel);
        cancel.check()?;
    }
    Ok(())
}

/// A layer normalisation with weight and bias.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl LayerNorm {
    /// `{name}.weight` and `{name}.bias`, both `[width]`.
    pub(super) fn open(gguf: &Gguf, name: &str, width: usize, eps: f32) -> Result<Self> {
        let part = |part: &str| vector(gguf, &format!("{name}.{part}"), &[width]);
        Ok(Self { weight: part("weight")?, bias: part("bias")?, eps })
    }

    /// `x` `[n, width]` to the same shape.
    pub(super) fn forward(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let width = self.weight.len();
        let mut out = vec![0f32; x.len()];
        for_rows(&mut out, width, |first, chunk| {
            let rows = x.get(first * width..).unwrap_or_default();
            kernels::layer_norm(isa, rows, &self.weight, &self.bias, self.eps, chunk);
        });
        out
    }
}

/// The exact GELU of every value of `x` `[n, width]`.
pub(super) fn gelu(isa: Isa, x: &mut [f32], width: usize) {
    for_rows(x, width, |_, chunk| kernels::gelu(isa, chunk));
}

/// Queries, keys and values: one layer whose output has them side by side, or three layers.
#[derive(Debug)]
pub(crate) enum Projections {
    Fused(Linear),
    Split([Linear; 3]),
}

/// The names under which a checkpoint keeps a block's parts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naming {
    /// timm's: `norm1`, `attn.qkv`, `attn.proj`, `norm2`, `mlp.fc1`, `mlp.fc2`.
    Timm,
    /// transformers' HuBERT: `layer_norm`, `attention.q_proj` and so on, `final_layer_norm`, `feed_forward.…_dense`.
    Hubert,
}

/// The extents that all blocks of an encoder share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BlockExtents {
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) mlp: usize,
    pub(super) eps: f32,
}

impl BlockExtents {
    /// Reads and checks `width`, `depth`, `heads`, `mlp` and `norm_eps`.
    pub(super) fn read(metadata: &Metadata<'_>) -> Result<Self> {
        let extents = Self {
            width: metadata.width("width")?,
            depth: metadata.depth()?,
            heads: metadata.width("heads")?,
            mlp: metadata.width("mlp")?,
            eps: metadata.eps("norm_eps")?,
        };
        metadata.divide(("width", extents.width), ("heads", extents.heads))?;
        Ok(extents)
    }
}

/// One pre-norm transformer block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) heads: usize,
    pub(crate) norm1: LayerNorm,
    pub(crate) projections: Projections,
    pub(crate) out: Linear,
    pub(crate) norm2: LayerNorm,
    pub(crate) fc1: Linear,
    pub(crate) fc2: Linear,
}

impl Block {
    /// The block whose tensors begin with `prefix` (`blocks.0`).
    pub(super) fn open(gguf: &Gguf, prefix: &str, naming: Naming, extents: &BlockExtents) -> Result<Self> {
        let &BlockExtents { width, heads, mlp, eps, .. } = extents;
        let linear =
            |name: &str, rows: usize, columns: usize| Linear::open(gguf, &format!("{prefix}.{name}"), rows, columns);
        let norm = |name: &str| LayerNorm::open(gguf, &format!("{prefix}.{name}"), width, eps);
        Ok(match naming {
            Naming::Timm => Self {
                heads,
                norm1: norm("norm1")?,
                projections: Projections::Fused(linear("attn.qkv", 3 * width, width)?),
                out: linear("attn.proj", width, width)?,
                norm2: norm("norm2")?,
                fc1: linear("mlp.fc1", mlp, width)?,
                fc2: linear("mlp.fc2", width, mlp)?,
            },
            Naming::Hubert => Self {
                heads,
                norm1: norm("layer_norm")?,
                projections: Projections::Split([
                    linear("attention.q_proj", width, width)?,
                    linear("attention.k_proj", width, width)?,
                    linear("attention.v_proj", width, width)?,
                ]),
                out: linear("attention.out_proj", width, width)?,
                norm2: norm("final_layer_norm")?,
                fc1: linear("feed_forward.intermediate_dense", mlp, width)?,
                fc2: linear("feed_forward.output_dense", width, mlp)?,
            },
        })
    }

    /// Replaces `x` `[tokens, width]` by the block's output.
    pub(super) fn forward(&self, isa: Isa, x: &mut [f32], cancel: &CancelToken) -> Result<()> {
        let attended = self.attend(isa, &self.norm1.forward(isa, x), cancel)?;
        forward_into(isa, &attended, [&self.out], Finish::Add, [&mut *x], cancel)?;
        drop(attended);
        let (width, mlp) = (self.norm1.weight.len(), self.fc1.weight.rows());
        let mut hidden = vec![0f32; (x.len() / width).min(FEED_FORWARD_ROWS) * mlp];
        for rows in x.chunks_mut(FEED_FORWARD_ROWS * width) {
            let Some(hidden) = hidden.get_mut(..rows.len() / width * mlp) else { continue };
            let normalised = self.norm2.forward(isa, rows);
            forward_into(isa, &normalised, [&self.fc1], Finish::Gelu, [&mut *hidden], cancel)?;
            forward_into(isa, hidden, [&self.fc2], Finish::Add, [rows], cancel)?;
        }
        Ok(())
    }

    fn attend(&self, isa: Isa, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let width = self.norm1.weight.len();
        let tokens = x.len() / width;
        match &self.projections {
            Projections::Fused(qkv) => {
                let qkv = qkv.forward(isa, x, cancel)?;
                let part = |i: usize| qkv.get(i * width..).unwrap_or_default();
                attention(isa, [part(0), part(1), part(2)], 3 * width, [tokens, width, self.heads], cancel)
            }
            Projections::Split(layers) => {
                let mut parts = [0; 3].map(|_| vec![0f32; x.len()]);
                let out = parts.each_mut().map(Vec::as_mut_slice);
                forward_into(isa, x, layers.each_ref(), Finish::Store, out, cancel)?;
                attention(isa, parts.each_ref().map(Vec::as_slice), width, [tokens, width, self.heads], cancel)
            }
        }
    }
}

/// `softmax(q k^T / sqrt(head width)) v` for every head; `[tokens, width]`.
///
/// Queries, keys and values are `[tokens, width]` each, with `stride` values from row to row; a head's columns lie together.
fn attention(
    isa: Isa,
    qkv: [&[f32]; 3],
    stride: usize,
    [tokens, width, heads]: [usize; 3],
    cancel: &CancelToken,
) -> Result<Vec<f32>> {
    let shape = AttentionShape { heads, kv_heads: heads, head_dim: width / heads };
    let mut out = vec![0f32; tokens * width];
    kernels::attend_all(isa, shape, qkv, stride, &mut out, cancel);
    cancel.check()?;
    Ok(out)
}
