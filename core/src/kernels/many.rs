//! Products of weight rows that are floats, or are unpacked to them, with several tokens. Tokens lie side by side in vectors, and each weight
//! multiplies all of them where it lies: only the tokens, which are few beside the weights, are laid out anew.

use std::cell::Cell;

use super::crew::for_each;
use super::lanes::Lanes;
use super::output::Output;
use super::{Isa, WeightType, Weights};
use crate::cancel::CancelToken;

/// Weight rows of a task; a multiple of every tile's rows.
const TASK: usize = 96;
/// Columns whose products are summed by themselves: what a tile reads of them stays in the second-level cache, and sums are shorter.
const COLUMNS: usize = 512;

thread_local! {
    // Taken and put back, not borrowed: a thread that waits for others may begin another product.
    static TOKENS: Cell<Vec<f32>> = Cell::default();
    static SCRATCH: Cell<(Vec<f32>, Vec<f32>)> = Cell::default();
}

/// `out = x weights^T`, `[n, weights.rows]`, for `x` `[n, columns]`. A value does not depend on the number of tokens.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn multiply(isa: Isa, x: &[f32], n: usize, weights: &Weights<'_>, out: &mut [f32], cancel: &CancelToken) {
    let (rows, columns) = (weights.rows, weights.columns);
    if n == 0 || rows == 0 {
        return;
    }
    assert!(x.len() == n * columns && out.len() == n * rows, "matrix sizes");
    let (lanes, vectors, run): (usize, usize, unsafe fn(&Task<'_>)) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, 3, run_avx512),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, 2, run_avx2),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (4, 3, run::<super::lanes::Neon, 6>),
        Isa::Portable => (8, 3, run::<super::lanes::Portable, 2>),
    };
    let panels = Panels { n, columns, lanes, vectors };
    let mut tokens = TOKENS.take();
    panels.fill(x, &mut tokens);
    let out = Output::new(out);
    for_each(rows.div_ceil(TASK), |task| {
        if !cancel.is_cancelled() {
            let first = task * TASK;
            let task = Task { isa, weights, first, count: TASK.min(rows - first), panels, tokens: &tokens, out: &out };
            // SAFETY: the function was chosen for features that `Isa::detect` found; no two tasks have columns of the output in common.
            unsafe { run(&task) };
        }
    });
    TOKENS.set(tokens);
}

/// How tokens lie: `vectors * lanes` of them to a panel, side by side in each column; the last panel has as many vectors as it needs.
#[derive(Clone, Copy)]
struct Panels {
    n: usize,
    columns: usize,
    lanes: usize,
    vectors: usize,
}

impl Panels {
    /// Tokens of a panel.
    fn width(self) -> usize {
        self.vectors * self.lanes
    }

    fn count(self) -> usize {
        self.n.div_ceil(self.width())
    }

    /// Vectors of panel `index`.
    fn vectors_of(self, index: usize) -> usize {
        (self.n - index * self.width()).div_ceil(self.lanes).min(self.vectors)
    }

    fn fill(self, x: &[f32], tokens: &mut Vec<f32>) {
        tokens.resize(self.n.next_multiple_of(self.lanes) * self.columns, 0.0);
        let tokens = Output::new(tokens);
        let blocks = self.columns.div_ceil(COLUMNS);
        for_each(self.count() * blocks, |task| {
            let (panel, first) = (task / blocks, task % blocks * COLUMNS);
            let columns = COLUMNS.min(self.columns - first);
            let width = self.vectors_of(panel) * self.lanes;
            // SAFETY: each task has columns of its own.
            let part = unsafe { tokens.part(panel * self.width() * self.columns + first * width, columns * width) };
            let rows = x[panel * self.width() * self.columns..].chunks_exact(self.columns).take(width);
            let filled = rows.len();
            for (token, row) in rows.enumerate() {
                for (column, x) in part.chunks_exact_mut(width).zip(&row[first..]) {
                    column[token] = *x;
                }
            }
            part.chunks_exact_mut(width).for_each(|column| column[filled..].fill(0.0));
        });
    }
}

/// Some weight rows times all tokens.
struct Task<'a> {
    isa: Isa,
    weights: &'a Weights<'a>,
    first: usize,
    count: usize,
    panels: Panels,
    tokens: &'a [f32],
    out: &'a Output<'a>,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn run_avx512(task: &Task<'_>) {
    run::<super::lanes::Avx512, 8>(task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2(task: &Task<'_>) {
    run::<super::lanes::Avx2, 6>(task);
}

/// # Safety
/// `L`'s instructions are there; nobody else writes the task's columns of the output.
#[inline(always)]
unsafe fn run<L: Lanes, const R: usize>(task: &Task<'_>) {
    let &Task { isa, weights, first, count, panels, tokens, out } = task;
    let columns = weights.columns;
    let (mut unpacked, mut sums) = SCRATCH.take();
    let rows: *const f32 = if weights.kind == WeightType::F32 {
        let bytes = weights.part(first, count).bytes;
        assert!(bytes.len() == count * columns * size_of::<f32>(), "matrix sizes");
        bytes.as_ptr().cast()
    } else {
        unpacked.resize(TASK * columns, 0.0);
        weights.unpack_rows(isa, first, &mut unpacked[..count * columns]);
        unpacked.as_ptr()
    };
    let padded = count.next_multiple_of(R);
    sums.clear();
    sums.resize(padded * panels.n.next_multiple_of(L::N), 0.0);
    for from in (0..columns).step_by(COLUMNS) {
        let length = COLUMNS.min(columns - from);
        for panel in 0..panels.count() {
            let (start, vectors) = (panel * panels.width(), panels.vectors_of(panel));
            let width = vectors * L::N;
            let x = tokens[start * columns + from * width..][..length * width].as_ptr();
            for row in (0..count).step_by(R) {
                // Behind the last row it is taken again, and what comes of that is not looked at.
                let w = std::array::from_fn(|i| rows.add((row + i).min(count - 1) * columns + from));
                let sums = sums[start * padded + row * width..][..R * width].as_mut_ptr();
                match vectors {
                    1 => tile::<L, R, 1>(w, x, length, sums),
                    2 => tile::<L, R, 2>(w, x, length, sums),
                    _ => tile::<L, R, 3>(w, x, length, sums),
                }
            }
        }
    }
    for panel in 0..panels.count() {
        let start = panel * panels.width();
        let width = panels.vectors_of(panel) * L::N;
        let sums = &sums[start * padded..][..padded * width];
        for token in 0..width.min(panels.n - start) {
            let out = out.part((start + token) * weights.rows + first, count);
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(width)) {
                *out = sums[token];
            }
        }
    }
    SCRATCH.set((unpacked, sums));
}

/// Adds the products of `R` rows' next `columns` weights, which need not be aligned, with those of `V * N` tokens to `sums` `[R, V * N]`.
///
/// # Safety
/// `L`'s instructions are there, and each pointer has as many values.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize, const V: usize>(
    w: [*const f32; R],
    x: *const f32,
    columns: usize,
    sums: *mut f32,
) {
    let mut totals = [[L::zero_float(); V]; R];
    for column in 0..columns {
        let x: [L::Float; V] = std::array::from_fn(|v| L::load_float(x.add((column * V + v) * L::N)));
        for (totals, w) in totals.iter_mut().zip(w) {
            let w = L::splat_float(w.add(column).read_unaligned());
            for (total, x) in totals.iter_mut().zip(x) {
                *total = L::mul_add(x, w, *total);
            }
        }
    }
    let one = L::splat_float(1.0);
    for (row, totals) in totals.into_iter().enumerate() {
        for (v, total) in totals.into_iter().enumerate() {
            let at = sums.add((row * V + v) * L::N);
            L::store_float(L::mul_add(total, one, L::load_float(at)), at);
        }
    }
}
