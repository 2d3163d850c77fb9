//! `X W^T` for weights as they lie in the file: quantised ones in integers, floats and the rarer types unpacked to f32.

use std::cell::{Cell, RefCell};

use super::crew::for_each;
use super::output::Output;
use super::quantised::{self, is_grouped};
use super::{blocks, many, Isa, Precision, WeightType};
use crate::cancel::CancelToken;

/// Weight rows per task on the decode path.
const DECODE_ROWS: usize = 96;

thread_local! {
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SUMS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
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
        many::multiply(isa, x, n, rest, cancel);
    }
}

fn decode<'a>(
    isa: Isa,
    x: &[f32],
    products: impl Iterator<Item = (&'a Weights<'a>, &'a mut [f32])>,
    cancel: &CancelToken,
) {
    let mut sums = SUMS.take();
    sums.clear();
    sums.extend(x.chunks(32).map(|block| block.iter().sum::<f32>()));
    for (weights, out) in products {
        let rows = out.len();
        let out = Output::new(out);
        for_each(rows.div_ceil(DECODE_ROWS), |task| {
            if cancel.is_cancelled() {
                return;
            }
            let first = task * DECODE_ROWS;
            // SAFETY: each task has rows of its own.
            let out = unsafe { out.part(first, DECODE_ROWS.min(rows - first)) };
            PANEL.with_borrow_mut(|scratch| {
                for (i, y) in out.iter_mut().enumerate() {
                    *y = weights.dot_row(isa, first + i, x, &sums, scratch);
                }
            });
        });
    }
    SUMS.set(sums);
}
