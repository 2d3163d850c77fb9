//! `X W^T` for weights as they lie in the file: quantised ones in integers, floats and the rarer types unpacked to f32.

use std::cell::RefCell;

use gemm::Parallelism;
use rayon::prelude::*;

use super::quantised::{self, is_grouped};
use super::{blocks, sgemm, Isa, Precision, View, WeightType};
use crate::cancel::CancelToken;

/// Weight rows unpacked at a time: a panel of 576 or 1536 columns stays in the second-level cache.
const PANEL_ROWS: usize = 64;
/// Rows of activations from which on threads share a panel. Below, they would wait for each other too often; above, the
/// product is worth it, and is written where it belongs instead of turned afterwards.
const SHARED_FROM: usize = 128;
/// Values of a shared panel: 4 MB unpacked.
const SHARED_VALUES: usize = 1 << 20;
/// Multiplications of a shared panel: a few milliseconds, between looks at the cancel token.
const SHARED_PRODUCTS: usize = 1 << 29;
/// Weight rows of a shared panel that one task unpacks.
const UNPACK_ROWS: usize = 16;
/// Weight rows per task on the decode path.
const DECODE_ROWS: usize = 96;

thread_local! {
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A weight matrix `[rows, columns]` as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// Its bytes, row after row.
    pub bytes: &'a [u8],
    /// The storage type.
    pub kind: WeightType,
    /// Output width.
    pub rows: usize,
    /// Input width.
    pub columns: usize,
}

impl<'a> Weights<'a> {
    fn row_bytes(&self) -> usize {
        self.columns / self.kind.block_len() * self.kind.block_bytes()
    }

    fn rows_from(&self, first: usize, count: usize) -> &'a [u8] {
        let size = self.row_bytes();
        self.bytes.get(first * size..(first + count) * size).unwrap_or_default()
    }

    /// `count` rows from `first` on.
    pub(super) fn part(&self, first: usize, count: usize) -> Self {
        Self { bytes: self.rows_from(first, count), rows: count, ..*self }
    }

    /// Unpacks `out.len() / columns` rows from `first` on.
    pub fn unpack_rows(&self, isa: Isa, first: usize, out: &mut [f32]) {
        let bytes = self.rows_from(first, out.len() / self.columns.max(1));
        match isa {
            Isa::Portable => blocks::unpack(self.kind, bytes, out),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => blocks::unpack(self.kind, bytes, out),
            // SAFETY: `Isa::Avx2` is made by `Isa::detect` only, which found the features this is compiled for.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => unsafe { super::avx2::unpack(self.kind, bytes, out) },
        }
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "only vectors of that processor need it"))]
    fn dot_row(&self, isa: Isa, row: usize, x: &[f32], sums: &[f32], scratch: &mut Vec<f32>) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if isa != Isa::Portable {
            // SAFETY: as in `unpack_rows`.
            let packed = unsafe { super::avx2::dot_packed(self.kind, self.rows_from(row, 1), x, sums) };
            if let Some(y) = packed {
                return y;
            }
        }
        scratch.resize(self.columns, 0.0);
        self.unpack_rows(isa, row, scratch);
        super::dot(isa, scratch, x)
    }
}

/// `out[i] = x weights[i]^T`, each `[n, weights[i].rows]`, for one input `x` `[n, columns]` of all of them.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled: the caller checks.
pub fn matmul<const W: usize>(
    isa: Isa,
    precision: Precision,
    x: &[f32],
    n: usize,
    weights: [Weights<'_>; W],
    mut out: [&mut [f32]; W],
    cancel: &CancelToken,
) {
    let fast = precision != Precision::Full;
    if fast {
        quantised::multiply(isa, x, n, &weights, &mut out, cancel);
    }
    let rest = weights.iter().zip(out).filter(|(weights, _)| !(fast && is_grouped(weights.kind)));
    if n == 1 {
        decode(isa, x, rest, cancel);
    } else if n > 1 {
        for (weights, out) in rest {
            let multiply = if n < SHARED_FROM { panels } else { shared_panels };
            multiply(isa, x, n, weights, out, cancel);
        }
    }
}

fn decode<'a>(
    isa: Isa,
    x: &[f32],
    products: impl Iterator<Item = (&'a Weights<'a>, &'a mut [f32])>,
    cancel: &CancelToken,
) {
    let sums: Vec<f32> = x.chunks(32).map(|block| block.iter().sum()).collect();
    let tasks: Vec<_> = products
        .flat_map(|(w, out)| out.chunks_mut(DECODE_ROWS).enumerate().map(move |(i, out)| (w, i * DECODE_ROWS, out)))
        .collect();
    tasks.into_par_iter().for_each(|(w, first, out)| {
        if cancel.is_cancelled() {
            return;
        }
        PANEL.with_borrow_mut(|scratch| {
            for (i, y) in out.iter_mut().enumerate() {
                *y = w.dot_row(isa, first + i, x, &sums, scratch);
            }
        });
    });
}

/// Each panel taken by one thread, which unpacks and multiplies it.
fn panels(isa: Isa, x: &[f32], n: usize, weights: &Weights<'_>, out: &mut [f32], cancel: &CancelToken) {
    let (rows, columns) = (weights.rows, weights.columns);
    if rows == 0 || columns == 0 || x.len() != n * columns || out.len() != n * rows {
        debug_assert!(false, "matmul extents do not agree");
        return;
    }
    // Tasks write whole panels of the transpose, which are contiguous; one pass at the end turns it.
    let mut turned = vec![0f32; n * rows];
    turned.par_chunks_mut(PANEL_ROWS * n).enumerate().for_each(|(panel, turned)| {
        if cancel.is_cancelled() {
            return;
        }
        let count = turned.len() / n;
        PANEL.with_borrow_mut(|scratch| {
            scratch.resize(PANEL_ROWS.max(count) * columns, 0.0);
            let Some(unpacked) = scratch.get_mut(..count * columns) else { return };
            weights.unpack_rows(isa, panel * PANEL_ROWS, unpacked);
            // SAFETY: the destination is `turned`, `[count, n]` row-major, exactly `count * n` long; the left factor
            // is `x` `[n, columns]` (length checked above) and the right one the transpose of `unpacked`
            // `[count, columns]`, both in bounds for the strides given. None of them overlap.
            unsafe {
                gemm::gemm(
                    n,
                    count,
                    columns,
                    turned.as_mut_ptr(),
                    n as isize,
                    1,
                    false,
                    x.as_ptr(),
                    1,
                    columns as isize,
                    unpacked.as_ptr(),
                    columns as isize,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        });
    });
    for (i, row) in out.chunks_exact_mut(rows).enumerate() {
        for (o, column) in row.iter_mut().zip(turned.chunks_exact(n)) {
            *o = column[i];
        }
    }
}

/// Panels taken one after the other, each by all threads: every thread unpacks its part and multiplies its part.
fn shared_panels(isa: Isa, x: &[f32], n: usize, weights: &Weights<'_>, out: &mut [f32], cancel: &CancelToken) {
    let (rows, columns) = (weights.rows, weights.columns);
    if rows == 0 || columns == 0 || x.len() != n * columns || out.len() != n * rows {
        debug_assert!(false, "matmul extents do not agree");
        return;
    }
    let x = View::new(x, n, columns);
    let most = (SHARED_VALUES / columns).min(SHARED_PRODUCTS / columns / n);
    let panel_rows = rows.min(most.next_multiple_of(PANEL_ROWS).max(PANEL_ROWS));
    let mut panel = vec![0f32; panel_rows * columns];
    for first in (0..rows).step_by(panel_rows) {
        if cancel.is_cancelled() {
            return;
        }
        let count = panel_rows.min(rows - first);
        let Some(panel) = panel.get_mut(..count * columns) else { return };
        panel.par_chunks_mut(UNPACK_ROWS * columns).enumerate().for_each(|(i, part)| {
            weights.unpack_rows(isa, first + i * UNPACK_ROWS, part);
        });
        let Some(out) = out.get_mut(first..) else { return };
        sgemm(out, rows, x, View::new(panel, count, columns).transposed(), 1.0, true);
    }
}
