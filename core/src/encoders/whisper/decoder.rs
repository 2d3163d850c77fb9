//! The text decoder: learned positions, four layers of causal self-attention, cross-attention to the encoder and an MLP.
//!
//! Follows `WhisperDecoder` of transformers and `TextDecoder` of OpenAI's `whisper/model.py`. A step is bound by reading
//! the weights, so they stay in f16 and are widened row by row.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::encoder::{Encoded, HEAD, HEADS, HIDDEN, LAYERS, MLP};
use super::matrix::{gelu, multiply, softmax_rows, LayerNorm, Linear, Matrix};
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

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
    /// Per layer `[frames, k | v]`.
    cross: Vec<Matrix>,
    /// Logarithm of how many frames each encoder frame stands for.
    log_count: Vec<f32>,
    /// Per layer `[tokens, k | v]`.
    own: Vec<Matrix>,
}

impl Cache {
    pub fn tokens(&self) -> usize {
        self.own.first().map_or(0, |layer| layer.rows)
    }
}

impl Decoder {
    pub fn load(weights: &Weights<'_>, vocabulary: usize) -> Result<Self> {
        let layers = (0..LAYERS).map(|layer| {
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
        let cross = self.layers.iter().map(|layer| {
            cancel.check()?;
            layer.cross_kv.apply(encoded.hidden.view())
        });
        let own = self.layers.iter().map(|_| Matrix::zeros(0, 2 * HIDDEN)).collect();
        Ok(Cache { cross: cross.collect::<Result<_>>()?, log_count: encoded.log_count, own })
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
        for (layer, (own, cross)) in self.layers.iter().zip(cache.own.iter_mut().zip(&cache.cross)) {
            cancel.check()?;
            let qkv = layer.qkv.apply(&layer.attention_norm.apply(&hidden));
            let mut query = Matrix::zeros(tokens.len(), HIDDEN);
            for (row, query) in qkv.iter_rows().zip(query.data.chunks_exact_mut(HIDDEN)) {
                let (q, kv) = row.split_at(HIDDEN);
                query.copy_from_slice(q);
                own.data.extend_from_slice(kv);
                own.rows += 1;
            }
            layer.out.add_to(&mut hidden, &attend(&query, own, Mask::Causal(past))?);

            let query = layer.cross_q.apply(&layer.cross_norm.apply(&hidden));
            layer.cross_out.add_to(&mut hidden, &attend(&query, cross, Mask::Bias(&cache.log_count))?);

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

/// Which keys a query sees.
#[derive(Clone, Copy)]
enum Mask<'a> {
    /// Row `r` sees the keys `0..=past + r`.
    Causal(usize),
    /// Every row sees every key, with this added to the scores.
    Bias(&'a [f32]),
}

/// Softmax attention of `query` `[rows, 384]` to `kv` `[keys, k | v]`.
fn attend(query: &Matrix, kv: &Matrix, mask: Mask<'_>) -> Result<Matrix> {
    let mut mixed = Matrix::zeros(query.rows, HIDDEN);
    let mut scores = Matrix::zeros(query.rows, kv.rows);
    for head in 0..HEADS {
        let key = kv.block(0, kv.rows, head * HEAD, HEAD);
        let value = kv.block(0, kv.rows, HIDDEN + head * HEAD, HEAD);
        let scale = 1.0 / (HEAD as f32).sqrt();
        multiply(scores.view_mut(), query.block(0, query.rows, head * HEAD, HEAD), key.transposed(), scale, false)?;
        let bias = match mask {
            Mask::Causal(past) => {
                for (row, scores) in scores.data.chunks_exact_mut(kv.rows.max(1)).enumerate() {
                    scores.iter_mut().skip(past + row + 1).for_each(|score| *score = -1e30);
                }
                None
            }
            Mask::Bias(bias) => Some(bias),
        };
        softmax_rows(&mut scores.data, kv.rows, bias);
        multiply(mixed.block_mut(0, query.rows, head * HEAD, HEAD), scores.view(), value, 1.0, false)?;
    }
    Ok(mixed)
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
        let (rows, count) = (self.data.len() / self.cols.max(1), input.rows);
        // `[rows, n]`, so that each thread owns a contiguous part and widens each weight once.
        let mut turned = vec![0.0f32; rows * count];
        let fill = |(out, weights): (&mut [f32], &[f16])| {
            let mut wide = vec![0.0f32; self.cols];
            for (out, weights) in out.chunks_exact_mut(count.max(1)).zip(weights.chunks_exact(self.cols)) {
                weights.convert_to_f32_slice(&mut wide);
                out.iter_mut().zip(input.iter_rows()).for_each(|(out, input)| *out = dot(&wide, input));
            }
        };
        if self.data.len() >= PARALLEL_WEIGHTS {
            let block = rows.div_ceil(4 * rayon::current_num_threads()).max(64);
            let weights = self.data.par_chunks(block * self.cols);
            turned.par_chunks_mut((block * count).max(1)).zip(weights).for_each(fill);
        } else {
            fill((&mut turned, &self.data));
        }
        if count == 1 {
            return Matrix { rows: 1, cols: rows, data: turned };
        }
        let mut out = Matrix::zeros(count, rows);
        for (column, values) in turned.chunks_exact(count.max(1)).enumerate() {
            values.iter().enumerate().for_each(|(row, &value)| out.data[row * rows + column] = value);
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

/// The dot product in eight lanes, which every x86-64 and aarch64 can run in registers.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        for ((lane, left), right) in lanes.iter_mut().zip(left).zip(right) {
            *lane += left * right;
        }
    }
    lanes.iter().sum()
}
