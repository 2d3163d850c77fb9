//! The text decoder: learned positions, four layers of causal self-attention, cross-attention to the encoder and an MLP.
//!
//! Follows `WhisperDecoder` of transformers and `TextDecoder` of OpenAI's `whisper/model.py`. A step is bound by reading
//! the weights, so they stay in f16 and are widened in registers.

use half::f16;
use rayon::prelude::*;

use super::encoder::{Encoded, Head, HEAD, HEADS, HIDDEN, LAYERS, MLP};
use super::half_rows;
use super::matrix::{gelu, LayerNorm, Linear, Matrix};
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::kernels::{attend_row, AttentionShape, Isa};
use crate::nn::packed::Rows;

/// Tokens that fit the decoder, prompt and text together.
pub(super) const MAX_TOKENS: usize = 448;
/// Weights read by one thread before a second one pays off.
const PARALLEL_WEIGHTS: usize = 1 << 18;

pub(super) struct Decoder {
    /// `[vocabulary, 384]`, also the output layer.
    embedding: HalfMatrix,
    position: Matrix,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

struct Layer {
    attention_norm: LayerNorm,
    qkv: HalfLinear,
    out: HalfLinear,
    cross_norm: LayerNorm,
    cross_q: HalfLinear,
    /// Applied once to all encoder frames, so in f32 through the matrix product.
    cross_kv: Linear,
    cross_out: HalfLinear,
    mlp_norm: LayerNorm,
    up: HalfLinear,
    down: HalfLinear,
}

/// Keys and values of one window: those of the encoder frames, and those of the tokens so far.
pub(super) struct Cache {
    /// Per layer and head those of the encoder frames.
    cross: Vec<Vec<Head>>,
    /// Per layer those of the tokens.
    own: Vec<Own>,
}

/// `[tokens, 384]` each.
#[derive(Default)]
struct Own {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    pub fn tokens(&self) -> usize {
        self.own.first().map_or(0, |layer| layer.keys.len() / HIDDEN)
    }
}

impl Decoder {
    pub fn load(weights: &Weights<'_>, vocabulary: usize) -> Result<Self> {
        let layers = (0..LAYERS).into_par_iter().map(|layer| {
            let name = |part: &str| format!("decoder.layers.{layer}.{part}");
            Ok(Layer {
                attention_norm: weights.norm(&name("attention.norm"), HIDDEN)?,
                qkv: HalfLinear::load(weights, &name("attention.qkv"), 3 * HIDDEN, HIDDEN)?,
                out: HalfLinear::load(weights, &name("attention.out"), HIDDEN, HIDDEN)?,
                cross_norm: weights.norm(&name("cross_attention.norm"), HIDDEN)?,
                cross_q: HalfLinear::load(weights, &name("cross_attention.q"), HIDDEN, HIDDEN)?,
                cross_kv: weights.linear(&name("cross_attention.kv"), 2 * HIDDEN, HIDDEN)?,
                cross_out: HalfLinear::load(weights, &name("cross_attention.out"), HIDDEN, HIDDEN)?,
                mlp_norm: weights.norm(&name("mlp.norm"), HIDDEN)?,
                up: HalfLinear::load(weights, &name("mlp.up"), MLP, HIDDEN)?,
                down: HalfLinear::load(weights, &name("mlp.down"), HIDDEN, MLP)?,
            })
        });
        Ok(Self {
            embedding: HalfMatrix { data: weights.half("decoder.embedding", &[vocabulary, HIDDEN])?, cols: HIDDEN },
            position: weights.matrix("decoder.position", MAX_TOKENS, HIDDEN)?,
            layers: layers.collect::<Result<_>>()?,
            norm: weights.norm("decoder.norm", HIDDEN)?,
        })
    }

    /// The cache of a new window.
    pub fn start(&self, encoded: Encoded, cancel: &CancelToken) -> Result<Cache> {
        let cross = self.layers.par_iter().map(|layer| {
            cancel.check()?;
            let kv = layer.cross_kv.apply(encoded.hidden.rows());
            let head = |head| Head::new(&kv, head * HEAD, HIDDEN + head * HEAD, &encoded.log_count);
            Ok((0..HEADS).map(head).collect())
        });
        let own = self.layers.iter().map(|_| Own::default()).collect();
        Ok(Cache { cross: cross.collect::<Result<_>>()?, own })
    }

    /// Runs `tokens` after those in the cache. Gives their hidden states `[tokens, 384]` after the last norm.
    pub fn forward(&self, tokens: &[u32], cache: &mut Cache, cancel: &CancelToken) -> Result<Matrix> {
        let past = cache.tokens();
        let positions = self.position.data.get(past * HIDDEN..(past + tokens.len()) * HIDDEN);
        let positions = positions.ok_or_else(|| Error::internal(format!("more than {MAX_TOKENS} tokens of text")))?;
        let mut hidden = Matrix { rows: tokens.len(), cols: HIDDEN, data: positions.to_vec() };
        for (row, &token) in hidden.data.chunks_exact_mut(HIDDEN).zip(tokens) {
            let embedding = self.embedding.row(token as usize);
            let embedding =
                embedding.ok_or_else(|| Error::internal(format!("token {token} is not in the vocabulary")))?;
            row.iter_mut().zip(embedding).for_each(|(value, add)| *value += add.to_f32());
        }
        let (isa, mut scores) = (Isa::detect(), Vec::new());
        for (layer, (own, cross)) in self.layers.iter().zip(cache.own.iter_mut().zip(&cache.cross)) {
            cancel.check()?;
            let qkv = layer.qkv.apply(&layer.attention_norm.apply(&hidden));
            let mut mixed = Matrix::zeros(tokens.len(), HIDDEN);
            let shape = AttentionShape { heads: HEADS, kv_heads: HEADS, head_dim: HEAD };
            for (row, out) in qkv.iter_rows().zip(mixed.data.chunks_exact_mut(HIDDEN)) {
                let (query, kv) = row.split_at(HIDDEN);
                own.keys.extend_from_slice(&kv[..HIDDEN]);
                own.values.extend_from_slice(&kv[HIDDEN..]);
                // Later tokens are not there yet.
                attend_row(isa, shape, query, [(&own.keys[..], &own.values[..]), (&[], &[])], &mut scores, out);
            }
            layer.out.add_to(&mut hidden, &mixed);

            let query = layer.cross_q.apply(&layer.cross_norm.apply(&hidden));
            for (number, head) in cross.iter().enumerate() {
                let column = number * HEAD;
                let rows = Rows::new(&query.data[column..], query.rows, HIDDEN);
                head.attend(rows, &mut scores, &mut mixed.data[column..], HIDDEN);
            }
            layer.cross_out.add_to(&mut hidden, &mixed);

            let mut inner = layer.up.apply(&layer.mlp_norm.apply(&hidden));
            gelu(&mut inner.data);
            layer.down.add_to(&mut hidden, &inner);
        }
        Ok(self.norm.apply(&hidden))
    }

    /// Logits `[tokens, vocabulary]` of hidden states `[tokens, 384]`.
    pub fn logits(&self, hidden: &Matrix) -> Matrix {
        self.embedding.product(hidden)
    }
}

/// `[rows, cols]` in f16.
struct HalfMatrix {
    data: Vec<f16>,
    cols: usize,
}

impl HalfMatrix {
    fn row(&self, index: usize) -> Option<&[f16]> {
        self.data.get(index.checked_mul(self.cols)?..)?.get(..self.cols)
    }

    /// `input @ self^T`: `[n, cols]` -> `[n, rows]`, summed in f32 in a fixed order.
    fn product(&self, input: &Matrix) -> Matrix {
        let rows = self.data.len() / self.cols.max(1);
        let mut out = Matrix::zeros(input.rows, rows);
        for (out, input) in out.data.chunks_exact_mut(rows.max(1)).zip(input.iter_rows()) {
            if self.data.len() >= PARALLEL_WEIGHTS {
                let block = rows.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(64);
                let weights = self.data.par_chunks(block * self.cols);
                out.par_chunks_mut(block)
                    .zip(weights)
                    .for_each(|(out, weights)| half_rows::products(weights, input, out));
            } else {
                half_rows::products(&self.data, input, out);
            }
        }
        out
    }
}

/// A linear map with its weights in f16.
struct HalfLinear {
    weight: HalfMatrix,
    bias: Vec<f32>,
}

impl HalfLinear {
    fn load(weights: &Weights<'_>, name: &str, outputs: usize, inputs: usize) -> Result<Self> {
        let data = weights.half(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { weight: HalfMatrix { data, cols: inputs }, bias: weights.vector(&format!("{name}.bias"), outputs)? })
    }

    fn apply(&self, input: &Matrix) -> Matrix {
        let mut out = self.weight.product(input);
        for row in out.data.chunks_exact_mut(self.bias.len().max(1)) {
            row.iter_mut().zip(&self.bias).for_each(|(value, bias)| *value += bias);
        }
        out
    }

    fn add_to(&self, out: &mut Matrix, input: &Matrix) {
        out.data.iter_mut().zip(self.apply(input).data).for_each(|(value, add)| *value += add);
    }
}
