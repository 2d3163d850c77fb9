//! The encoders' transformer layers on a device: as [`Block`](crate::encoders::transformer::Block), which they are made of.

use candle_core::Tensor;
use candle_nn::ops::layer_norm;

use super::attention::{attend, heads_first};
use super::weights::Linear;
use super::Place;
use crate::encoders::transformer as host;
use crate::error::Result;
use crate::kernels::Precision;

/// Tokens whose feed-forward activations are held at once.
const FEED_FORWARD_ROWS: usize = 2048;

impl Linear {
    /// The encoders' layer `layer` on a device.
    pub(super) fn of_encoder(layer: &host::Linear, place: &Place) -> Result<Self> {
        Self::new(layer.weight.weights(), Some(&layer.bias), place)
    }
}

/// A layer normalisation with weight and bias.
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    pub(super) fn new(norm: &host::LayerNorm, place: &Place) -> Result<Self> {
        let vector = |values: &[f32]| place.upload(values, &[values.len()]);
        Ok(Self { weight: vector(&norm.weight)?, bias: vector(&norm.bias)?, eps: norm.eps })
    }

    /// `x` `[n, width]` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, self.eps)?)
    }
}

/// Queries, keys and values: one layer whose output has them side by side, or three layers.
enum Projections {
    Fused(Box<Linear>),
    Split(Box<[Linear; 3]>),
}

/// One pre-norm transformer block.
pub(super) struct Block {
    heads: usize,
    norm1: LayerNorm,
    projections: Projections,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    pub(super) fn new(block: &host::Block, place: &Place) -> Result<Self> {
        let linear = |layer: &host::Linear| Linear::of_encoder(layer, place);
        let projections = match &block.projections {
            host::Projections::Fused(layer) => Projections::Fused(Box::new(linear(layer)?)),
            host::Projections::Split([q, k, v]) => Projections::Split(Box::new([linear(q)?, linear(k)?, linear(v)?])),
        };
        Ok(Self {
            heads: block.heads,
            norm1: LayerNorm::new(&block.norm1, place)?,
            projections,
            out: linear(&block.out)?,
            norm2: LayerNorm::new(&block.norm2, place)?,
            fc1: linear(&block.fc1)?,
            fc2: linear(&block.fc2)?,
        })
    }

    /// `x` `[tokens, width]` to the block's output.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let [q, k, v] = match &self.projections {
            Projections::Fused(layer) => {
                let qkv = dense(layer, &normed)?;
                let width = qkv.dim(1)? / 3;
                let part = |i: usize| qkv.narrow(1, i * width, width)?.contiguous();
                [part(0)?, part(1)?, part(2)?]
            }
            Projections::Split(layers) => {
                let [q, k, v] = layers.as_ref();
                [dense(q, &normed)?, dense(k, &normed)?, dense(v, &normed)?]
            }
        };
        let heads = |x: &Tensor| -> Result<Tensor> { Ok(heads_first(x, 1, self.heads)?.squeeze(0)?) };
        let attended = attend(&heads(&q)?, &heads(&k)?, &heads(&v)?, None)?;
        let x = (x + dense(&self.out, &attended)?)?;
        let mut parts = Vec::new();
        let tokens = x.dim(0)?;
        for first in (0..tokens).step_by(FEED_FORWARD_ROWS) {
            let x = x.narrow(0, first, FEED_FORWARD_ROWS.min(tokens - first))?;
            let hidden = dense(&self.fc1, &self.norm2.forward(&x)?)?.gelu_erf()?;
            parts.push((x + dense(&self.fc2, &hidden)?)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }
}

/// `layer` of `x` `[n, columns]`, exactly: an encoder's rows are many, and few of them say no less of the clip.
pub(super) fn dense(layer: &Linear, x: &Tensor) -> Result<Tensor> {
    layer.forward(x, Precision::Full)
}
