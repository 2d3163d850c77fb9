//! Products in which both sides are 8-bit integers: activations are rounded to 8 bits as they come, 32 to a scale, as the weights of Q8_0 are.
//!
//! For many tokens: a panel of weight rows, a row in each lane, is laid out once and multiplied with all tokens, a few at a time.

mod lanes;
mod operands;
mod tile;

use std::cell::Cell;

use rayon::prelude::*;

use self::lanes::Bytes;
use self::operands::{round, Panel, Rounded};
#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Portable, GROUP};
use super::linear::Finish;
use super::output::Output;
use super::{Isa, WeightType, Weights};
use crate::cancel::CancelToken;

/// Panels of a task.
const PANELS: usize = 2;
/// Rows of activations that one task rounds.
const ROUND_TASK: usize = 16;
/// Tokens between looks at the cancel token.
const TOKENS: usize = 4096;

thread_local! {
    // Taken and put back, not borrowed: a thread that waits for others may begin another product.
    static ROUNDED: Cell<Rounded> = Cell::default();
    static SCRATCH: Cell<([Panel; PANELS], Vec<f32>)> = Cell::default();
}

/// Whether weights of `kind` can be multiplied here.
pub fn takes(kind: WeightType) -> bool {
    kind == WeightType::Q8_0
}

/// The code for an instruction set: how to round, how to multiply, how many rows a panel has.
#[derive(Clone, Copy)]
struct Build {
    words: usize,
    rows: usize,
    round: unsafe fn(&[f32], &mut [i32], &mut [f32]),
    run: unsafe fn(&Task<'_>),
}

impl Build {
    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self { words: Avx512::WORDS, rows: 32, round: round_avx512, run: run_avx512 },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self { words: Avx2::WORDS, rows: 16, round: round_avx2, run: run_avx2 },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self { words: Neon::WORDS, rows: 8, round: round::<Neon>, run: run::<Neon, 4, 2> },
            Isa::Portable => {
                Self { words: Portable::WORDS, rows: 8, round: round::<Portable>, run: run::<Portable, 2, 1> }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn round_avx512(x: &[f32], out: &mut [i32], scales: &mut [f32]) {
    round::<Avx512>(x, out, scales);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn round_avx2(x: &[f32], out: &mut [i32], scales: &mut [f32]) {
    round::<Avx2>(x, out, scales);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn run_avx512(task: &Task<'_>) {
    run::<Avx512, 6, 2>(task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2(task: &Task<'_>) {
    run::<Avx2, 3, 2>(task);
}

/// `out[i] = finish(x weights[i]^T + bias[i])`, each `[n, weights[i].rows]`, of those weights that this [`takes`]; the others' `out` stays as it is.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn multiply<const W: usize>(
    isa: Isa,
    x: &[f32],
    n: usize,
    layers: &[(Weights<'_>, &[f32]); W],
    finish: Finish,
    out: &mut [&mut [f32]; W],
    cancel: &CancelToken,
) {
    let mut columns = 0;
    for ((weights, bias), out) in layers.iter().zip(out.iter()) {
        let fits = x.len() == n * weights.columns && out.len() == n * weights.rows && bias.len() == weights.rows;
        assert!(fits, "matrix sizes");
        if takes(weights.kind) {
            columns = weights.columns;
        }
    }
    if columns == 0 || n == 0 {
        return;
    }
    let build = Build::of(isa);
    let groups = columns / GROUP;
    let mut rounded = ROUNDED.take();
    rounded.words.resize(n * groups * build.words, 0);
    rounded.scales.resize(n * groups, 0.0);
    let parts = rounded.words.par_chunks_mut(ROUND_TASK * groups * build.words);
    let parts = parts.zip(rounded.scales.par_chunks_mut(ROUND_TASK * groups));
    // SAFETY: `Build::of` gives what was compiled for features that `Isa::detect` found.
    parts
        .zip(x.par_chunks(ROUND_TASK * columns))
        .for_each(|((words, scales), x)| unsafe { (build.round)(x, words, scales) });
    let outputs = out.each_mut().map(|out| Output::new(out));
    let size = PANELS * build.rows;
    let counts = layers.map(|(w, _)| if takes(w.kind) { w.rows.div_ceil(size) } else { 0 });
    (0..counts.iter().sum()).into_par_iter().for_each(|mut task: usize| {
        for (((weights, bias), out), &count) in layers.iter().zip(&outputs).zip(&counts) {
            if task < count {
                let first = task * size;
                let rows = weights.part(first, size.min(weights.rows - first));
                let bias = bias.get(first..first + rows.rows).unwrap_or_default();
                let task =
                    Task { isa, rows, bias, finish, first, x: &rounded, n, groups, stride: weights.rows, out, cancel };
                // SAFETY: as above; no two tasks of an output have columns in common.
                unsafe { (build.run)(&task) };
                return;
            }
            task -= count;
        }
    });
    ROUNDED.set(rounded);
}

/// Some weight rows times all tokens.
struct Task<'a> {
    isa: Isa,
    rows: Weights<'a>,
    bias: &'a [f32],
    finish: Finish,
    /// The first row's number.
    first: usize,
    x: &'a Rounded,
    n: usize,
    groups: usize,
    /// Values from one row of the output to the next.
    stride: usize,
    out: &'a Output<'a>,
    cancel: &'a CancelToken,
}

/// # Safety
/// `B`'s instructions are there; `x` was rounded for `B`; nobody else writes the task's columns of the output.
#[inline(always)]
unsafe fn run<B: Bytes, const R: usize, const V: usize>(task: &Task<'_>) {
    let &Task { isa, rows, bias, finish, first, x, n, groups, stride, out, cancel } = task;
    let width = V * B::N;
    let (mut panels, mut tile) = SCRATCH.take();
    tile.resize(R * width, 0.0);
    let starts = (0..rows.rows).step_by(width);
    for (panel, start) in panels.iter_mut().zip(starts.clone()) {
        if !cancel.is_cancelled() {
            panel.fill::<B>(rows.part(start, width.min(rows.rows - start)).bytes, groups, width);
        }
    }
    for token in (0..n).step_by(R) {
        if token.is_multiple_of(TOKENS / R * R) && cancel.is_cancelled() {
            break;
        }
        let count = R.min(n - token);
        // SAFETY: `x` has `n` rows. The tokens that are missing from the last tile are its last one again, whose products are not used.
        let at: [usize; R] = std::array::from_fn(|r| token + r.min(count - 1));
        let words = at.map(|token| x.words.as_ptr().add(token * groups * B::WORDS));
        let scales = at.map(|token| x.scales.as_ptr().add(token * groups));
        for (panel, start) in panels.iter().zip(starts.clone()) {
            tile::multiply::<B, R, V>(words, scales, groups, panel, &mut tile);
            let wide = width.min(rows.rows - start);
            for (r, sums) in tile.chunks_exact(width).enumerate().take(count) {
                let out = out.part((token + r) * stride + first + start, wide);
                finish.apply(isa, &sums[..wide], &bias[start..start + wide], out);
            }
        }
    }
    SCRATCH.set((panels, tile));
}
