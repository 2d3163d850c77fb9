//! The audio encoder: two convolutions, sinusoidal positions, four transformer layers with the norm in front.
//!
//! Follows `WhisperEncoder` of transformers and `AudioEncoder` of OpenAI's `whisper/model.py`. Unlike those it takes any
//! length up to 30 s: positions are cut to the input. And it can stand for the silence that fills up the 30 s with few
//! frames, see [`Encoder::run_in_silence`].

use rayon::prelude::*;

use super::matrix::{gelu, LayerNorm, Linear, Matrix};
use super::mel::MEL_BANDS;
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::kernels::{softmax_rows, Isa};
use crate::nn::packed::{Packed, Rows};
use crate::nn::Activation;

/// Width of the hidden states.
pub const HIDDEN: usize = 384;
/// Transformer layers.
pub const LAYERS: usize = 4;
/// Encoder frames of 20 ms in the longest input: 30 s.
pub const MAX_FRAMES: usize = 1500;
pub(super) const HEADS: usize = 6;
pub(super) const HEAD: usize = HIDDEN / HEADS;
pub(super) const MLP: usize = 4 * HIDDEN;
/// Query rows of a head whose scores are held at a time: 48 x 1500 f32 stay in the cache.
const QUERY_ROWS: usize = 48;

/// What the decoder reads.
pub(super) struct Encoded {
    /// `[frames, 384]`.
    pub hidden: Matrix,
    /// Logarithm of how many frames each frame stands for.
    pub log_count: Vec<f32>,
}

pub(super) struct Encoder {
    conv1: Linear,
    conv2: Linear,
    position: Matrix,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

struct Layer {
    attention_norm: LayerNorm,
    qkv: Linear,
    out: Linear,
    mlp: Mlp,
}

/// The feed-forward half of a layer, with its norm in front.
pub(super) struct Mlp {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Mlp {
    pub fn load(weights: &Weights<'_>, name: &str) -> Result<Self> {
        Ok(Self {
            norm: weights.norm(&format!("{name}.norm"), HIDDEN)?,
            up: weights.linear(&format!("{name}.up"), MLP, HIDDEN)?,
            down: weights.linear(&format!("{name}.down"), HIDDEN, MLP)?,
        })
    }

    /// `hidden += down(gelu(up(norm(hidden))))`.
    pub fn add_to(&self, hidden: &mut Matrix) {
        let mut inner = self.up.apply(self.norm.apply(hidden).rows());
        gelu(&mut inner.data);
        self.down.add_to(hidden, inner.rows());
    }
}

impl Encoder {
    pub fn load(weights: &Weights<'_>) -> Result<Self> {
        let layers = (0..LAYERS).into_par_iter().map(|layer| {
            let name = format!("encoder.layers.{layer}");
            Ok(Layer {
                attention_norm: weights.norm(&format!("{name}.attention.norm"), HIDDEN)?,
                qkv: weights.linear(&format!("{name}.attention.qkv"), 3 * HIDDEN, HIDDEN)?,
                out: weights.linear(&format!("{name}.attention.out"), HIDDEN, HIDDEN)?,
                mlp: Mlp::load(weights, &format!("{name}.mlp"))?,
            })
        });
        Ok(Self {
            conv1: weights.convolution("encoder.conv1", HIDDEN, 3, MEL_BANDS)?,
            conv2: weights.convolution("encoder.conv2", HIDDEN, 3, HIDDEN)?,
            position: weights.matrix("encoder.position", MAX_FRAMES, HIDDEN)?,
            layers: layers.collect::<Result<_>>()?,
            norm: weights.norm("encoder.norm", HIDDEN)?,
        })
    }

    /// Encodes `mel` `[frames, 80]` to `[(frames + 1) / 2, 384]`.
    ///
    /// `each_layer` sees the hidden states that transformers lists as `hidden_states[1..]`: those after the layers 1 to
    /// 3, and then the final result, which is layer 4 after the last norm.
    pub fn run(&self, mel: &Matrix, cancel: &CancelToken, each_layer: impl FnMut(&Matrix)) -> Result<Matrix> {
        let mut hidden = self.convolve(mel, cancel)?;
        if hidden.rows > self.position.rows {
            return Err(Error::internal(format!("{} encoder frames, at most {MAX_FRAMES} fit", hidden.rows)));
        }
        hidden.data.iter_mut().zip(&self.position.data).for_each(|(value, position)| *value += position);
        self.transform(hidden, None, cancel, each_layer)
    }

    /// Encodes `mel`, which ends in silence, as if that silence went on until 30 s, at a fraction of the cost.
    ///
    /// Recognition needs those 30 s: the model was trained on nothing else, and on less it says a sentence again and
    /// again. But past the end of the sound the frames differ by their position only, and positions change slowly. So
    /// one frame stands for `stride` of them, and counts `stride` times in every softmax: the logarithm of its count is
    /// added to its scores.
    pub fn run_in_silence(&self, mel: &Matrix, stride: usize, cancel: &CancelToken) -> Result<Encoded> {
        let mut hidden = self.convolve(mel, cancel)?;
        let Some(heard) = hidden.rows.checked_sub(2).filter(|_| hidden.rows <= MAX_FRAMES) else {
            return Err(Error::internal(format!("{} encoder frames, 2 to {MAX_FRAMES} fit", hidden.rows)));
        };
        // The very last frame sees the zeros that pad the convolutions, and the one before it plain silence.
        let tail = hidden.data.split_off(heard * HIDDEN);
        let (silence, end) = tail.split_at(HIDDEN);
        let mut log_count = vec![0.0; heard];
        let mut places = vec![];
        for first in (heard..MAX_FRAMES - 1).step_by(stride.max(1)) {
            let count = stride.max(1).min(MAX_FRAMES - 1 - first);
            hidden.data.extend_from_slice(silence);
            places.push(first + count / 2);
            log_count.push((count as f32).ln());
        }
        hidden.data.extend_from_slice(end);
        places.push(MAX_FRAMES - 1);
        log_count.push(0.0);
        for (row, place) in hidden.data.chunks_exact_mut(HIDDEN).zip((0..heard).chain(places)) {
            let position = self.position.data.get(place * HIDDEN..).unwrap_or(&[]);
            row.iter_mut().zip(position).for_each(|(value, position)| *value += position);
        }
        hidden.rows = log_count.len();
        let hidden = self.transform(hidden, Some(&log_count), cancel, |_| ())?;
        Ok(Encoded { hidden, log_count })
    }

    /// The two convolutions: `[frames, 80]` -> `[(frames + 1) / 2, 384]`.
    fn convolve(&self, mel: &Matrix, cancel: &CancelToken) -> Result<Matrix> {
        let mut hidden = convolve(&self.conv1, mel, 1);
        gelu(&mut hidden.data);
        cancel.check()?;
        let mut hidden = convolve(&self.conv2, &hidden, 2);
        gelu(&mut hidden.data);
        cancel.check()?;
        Ok(hidden)
    }

    fn transform(
        &self,
        mut hidden: Matrix,
        log_count: Option<&[f32]>,
        cancel: &CancelToken,
        mut each_layer: impl FnMut(&Matrix),
    ) -> Result<Matrix> {
        for (index, layer) in self.layers.iter().enumerate() {
            let qkv = layer.qkv.apply(layer.attention_norm.apply(&hidden).rows());
            let mixed = self_attention(&qkv, log_count.unwrap_or(&[]), cancel)?;
            layer.out.add_to(&mut hidden, mixed.rows());
            cancel.check()?;
            layer.mlp.add_to(&mut hidden);
            cancel.check()?;
            if index + 1 < self.layers.len() {
                each_layer(&hidden);
            }
        }
        let result = self.norm.apply(&hidden);
        each_layer(&result);
        Ok(result)
    }
}

/// A convolution over time with 3 taps, one frame of zeros at both ends. Its windows are read in place, as overlapping rows.
fn convolve(kernel: &Linear, input: &Matrix, stride: usize) -> Matrix {
    let mut padded = Matrix::zeros(input.rows + 2, input.cols);
    if let Some(middle) = padded.data.get_mut(input.cols..input.cols + input.data.len()) {
        middle.copy_from_slice(&input.data);
    }
    let (count, stride) = (input.rows.div_ceil(stride), stride * input.cols);
    kernel.apply(Rows::new(&padded.data, count, stride))
}

/// Keys and values of one head, which many queries look at.
pub(super) struct Head {
    keys: Packed,
    values: Packed,
}

impl Head {
    /// The head with `key` and `value` at these columns of `rows`; `bias` is added to the scores of each row, nothing for none.
    pub fn new(rows: &Matrix, key: usize, value: usize, bias: &[f32]) -> Self {
        let scale = 1.0 / (HEAD as f32).sqrt();
        let (frames, width) = (rows.rows, rows.cols);
        Self {
            keys: Packed::new(HEAD, frames, |k, frame| scale * rows.data[frame * width + key + k], bias),
            values: Packed::new(frames, HEAD, |frame, k| rows.data[frame * width + value + k], &[]),
        }
    }

    /// Softmax attention of queries into `out` `[queries, 64]`, its rows `stride` apart; `scores` is scratch.
    pub fn attend(&self, queries: Rows<'_>, scores: &mut Vec<f32>, out: &mut [f32], stride: usize) {
        let frames = self.keys.columns();
        scores.resize(queries.count * frames, 0.0);
        self.keys.apply(scores, frames, queries, false, Activation::Identity, false);
        softmax_rows(Isa::detect(), scores, frames);
        let scores = Rows::new(scores, queries.count, frames);
        self.values.apply(out, stride, scores, false, Activation::Identity, false);
    }
}

/// Softmax attention of every frame to every frame, on `[frames, q | k | v]`.
fn self_attention(qkv: &Matrix, log_count: &[f32], cancel: &CancelToken) -> Result<Matrix> {
    let heads = (0..HEADS).into_par_iter().map(|head| {
        let column = head * HEAD;
        let keys = Head::new(qkv, HIDDEN + column, 2 * HIDDEN + column, log_count);
        let mut mixed = Matrix::zeros(qkv.rows, HEAD);
        let mut scores = Vec::new();
        for (block, out) in mixed.data.chunks_mut(QUERY_ROWS * HEAD).enumerate() {
            cancel.check()?;
            let data = qkv.data.get(block * QUERY_ROWS * qkv.cols + column..).unwrap_or(&[]);
            keys.attend(Rows::new(data, out.len() / HEAD, qkv.cols), &mut scores, out, HEAD);
        }
        Ok(mixed)
    });
    let heads: Vec<Matrix> = heads.collect::<Result<_>>()?;
    let mut mixed = Matrix::zeros(qkv.rows, HIDDEN);
    for (head, from) in heads.iter().enumerate() {
        for (out, row) in mixed.data.chunks_exact_mut(HIDDEN).zip(from.iter_rows()) {
            out[head * HEAD..(head + 1) * HEAD].copy_from_slice(row);
        }
    }
    Ok(mixed)
}
