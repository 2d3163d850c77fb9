//! Attention and the order of its rows.

use candle_core::Tensor;
use candle_nn::ops::softmax_last_dim;

use crate::error::Result;

/// Scores that are held at once: 32 Mi, 64 MB of f16.
const SCORES: usize = 1 << 25;

/// `x` `[batch * n, heads * width]` as `[batch, heads, n, width]`.
pub(super) fn heads_first(x: &Tensor, batch: usize, heads: usize) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    Ok(x.reshape((batch, rows / batch, heads, width / heads))?.transpose(1, 2)?.contiguous()?)
}

/// `x` `[heads, n, width]` as `[n, heads * width]`.
pub(super) fn rows_first(x: &Tensor) -> Result<Tensor> {
    let (heads, n, width) = x.dims3()?;
    Ok(x.transpose(0, 1)?.contiguous()?.reshape((n, heads * width))?)
}

/// `softmax(q k^T / sqrt(width) + mask) v` of every head, `[n, heads * width]`.
///
/// `q` is `[heads, n, width]`; `k` and `v` are `[kv_heads, total, width]`, of which each serves the same number of neighbouring heads;
/// `mask` is `[n, total]`.
pub(super) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    attend_within(SCORES, q, k, v, mask)
}

/// As [`attend`], with at most `most` scores at once, or those of one row of all heads.
pub(super) fn attend_within(most: usize, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (heads, n, width) = q.dims3()?;
    let (kv_heads, total, _) = k.dims3()?;
    let group = heads / kv_heads;
    let q = (q * (1.0 / (width as f64).sqrt()))?;
    let k = k.t()?;
    let step = (most / (heads * total).max(1)).clamp(1, n.max(1));
    let mut parts = Vec::new();
    for first in (0..n).step_by(step) {
        let count = step.min(n - first);
        let q = q.narrow(1, first, count)?.contiguous()?.reshape((kv_heads, group * count, width))?;
        let mut scores = q.matmul(&k)?;
        if let Some(mask) = mask {
            let mask = mask.narrow(0, first, count)?;
            let shape = scores.shape().clone();
            scores = scores.reshape((heads, count, total))?.broadcast_add(&mask)?.reshape(shape)?;
        }
        parts.push(softmax_last_dim(&scores)?.matmul(v)?.reshape((heads, count, width))?);
    }
    rows_first(&Tensor::cat(&parts, 1)?)
}
