//! Dense layers: a product, its bias, and what becomes of it.

use rayon::prelude::*;

use super::{bytes, gelu, matmul, Isa, Precision, Weights};
use crate::cancel::CancelToken;

/// Rows that one task finishes.
const ROWS: usize = 16;

/// What a dense layer's values are when they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// As they are.
    Store,
    /// Their exact GELU.
    Gelu,
    /// Added to what is there.
    Add,
}

impl Finish {
    /// `out = self(x + bias)`, all of one length.
    #[inline(always)]
    pub(super) fn apply(self, isa: Isa, x: &[f32], bias: &[f32], out: &mut [f32]) {
        let values = x.iter().zip(bias).zip(out.iter_mut());
        match self {
            Finish::Add => values.for_each(|((x, bias), out)| *out += x + bias),
            _ => values.for_each(|((x, bias), out)| *out = x + bias),
        }
        if self == Finish::Gelu {
            gelu(isa, out);
        }
    }
}

/// `out[i] = finish(x weights[i]^T + bias[i])`, each `[n, weights[i].rows]`, for one input `x` `[n, columns]` of all of them.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled: the caller checks.
pub fn linear<const W: usize>(
    isa: Isa,
    precision: Precision,
    x: &[f32],
    layers: [(Weights<'_>, &[f32]); W],
    finish: Finish,
    mut out: [&mut [f32]; W],
    cancel: &CancelToken,
) {
    let n = x.len() / layers.first().map_or(1, |(weights, _)| weights.columns.max(1));
    let int8 = |weights: Weights<'_>| precision == Precision::Int8 && bytes::takes(weights.kind);
    if precision == Precision::Int8 {
        bytes::multiply(isa, x, n, &layers, finish, &mut out, cancel);
    }
    let precision = if precision == Precision::Int8 { Precision::Fast } else { precision };
    for ((weights, bias), out) in layers.into_iter().zip(out).filter(|((weights, _), _)| !int8(*weights)) {
        let rows = weights.rows.max(1);
        if finish == Finish::Add {
            let mut product = vec![0f32; out.len()];
            matmul(isa, precision, x, n, [weights], [&mut product], cancel);
            out.par_chunks_mut(ROWS * rows).zip(product.par_chunks(ROWS * rows)).for_each(|(out, product)| {
                for (out, product) in out.chunks_exact_mut(rows).zip(product.chunks_exact(rows)) {
                    finish.apply(isa, product, bias, out);
                }
            });
        } else {
            matmul(isa, precision, x, n, [weights], [&mut *out], cancel);
            out.par_chunks_mut(ROWS * rows).for_each(|out| {
                for row in out.chunks_exact_mut(rows) {
                    row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
                }
                if finish == Finish::Gelu {
                    gelu(isa, out);
                }
            });
        }
    }
}
