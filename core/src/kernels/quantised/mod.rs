//! Products with weights that stay quantised, in integers: activations are rounded to 16 bits, 32 to a scale, and multiplied with the weights'
//! own small integers. One token: each weight row is read once, as it lies in the file. A few: weight rows lie side by side in vectors. Many: tokens
//! do, and rows are widened a few at a time.

#[cfg(target_arch = "x86_64")]
mod few;
mod format;
#[cfg(target_arch = "x86_64")]
mod half_bytes;
mod rounded;
mod row;
mod tile;
#[cfg(target_arch = "x86_64")]
mod wide_row;

use std::cell::Cell;

#[cfg(target_arch = "x86_64")]
use self::few::RowFormat;
use self::format::with_format;
use self::rounded::{PanelShape, Panels, Rounded};
use self::tile::WideRows;
use super::crew::for_each;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, RowLanes};
use super::lanes::{Lanes, GROUP};
use super::output::Output;
use super::{Isa, WeightType, Weights};
use crate::cancel::CancelToken;

pub use self::format::is_grouped;

/// Weight rows of a task with one token.
const ROW_TASK: usize = 96;
/// Weight rows of a task with several; a multiple of every tile's rows.
const TILE_TASK: usize = 48;

thread_local! {
    // Taken and put back, not borrowed: a thread that waits for others may begin another product.
    static ROUNDED: Cell<Rounded> = Cell::default();
    static PANELS: Cell<Panels> = Cell::default();
    static SCRATCH: Cell<(WideRows, Vec<f32>)> = Cell::default();
    #[cfg(target_arch = "x86_64")]
    static PADDED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// `out[i] = x weights[i]^T`, each `[n, weights[i].rows]`, of those weights that [`is_grouped`]; the others' `out` stays as it is.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn multiply<const W: usize>(
    isa: Isa,
    x: &[f32],
    n: usize,
    weights: &[Weights<'_>; W],
    out: &mut [&mut [f32]; W],
    cancel: &CancelToken,
) {
    let mut columns = 0;
    for (weights, out) in weights.iter().zip(out.iter()) {
        assert!(x.len() == n * weights.columns && out.len() == n * weights.rows, "matrix sizes");
        if is_grouped(weights.kind) {
            columns = weights.columns;
        }
    }
    if columns == 0 || n == 0 {
        return;
    }
    let outputs = out.each_mut().map(|out| Output::new(out));
    if n == 1 {
        let mut rounded = ROUNDED.take();
        rounded.fill(isa, x);
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && weights.iter().any(|weights| weights.kind == WeightType::Q4K) {
            wide_row::cross(&rounded.values, &mut rounded.crossed);
        }
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx2 && weights.iter().any(|weights| half_bytes::takes(weights.kind)) {
            // SAFETY: `Isa::Avx2` is made by `Isa::detect` only, which found the features that this was compiled for.
            unsafe { half_bytes::cross(&rounded.values, &mut rounded.crossed) };
        }
        tasks(weights, ROW_TASK, cancel, &|w, rows, first| {
            // SAFETY: no two tasks have rows in common, so their parts of the output do not overlap.
            let out = unsafe { outputs[w].part(first, rows.rows) };
            by_row(isa, rows, &rounded, out);
        });
        ROUNDED.set(rounded);
    } else {
        let tiling = Tiling::of(isa, n);
        let shape = PanelShape { tokens: tiling.tokens, groups: columns / GROUP, crossed: tiling.few };
        let mut panels = PANELS.take();
        panels.fill(isa, x, n, shape);
        tasks(weights, TILE_TASK, cancel, &|w, rows, first| {
            let task = Tiles { rows, first, panels: &panels, shape, n, stride: weights[w].rows, out: &outputs[w] };
            // SAFETY: `Tiling::of` gives what was compiled for features that `Isa::detect` found; no two tasks of an output have columns in common.
            unsafe { (tiling.run)(&task) };
        });
        PANELS.set(panels);
    }
}

/// Shares the rows of all grouped `weights` among threads, `size` to a task: `run` gets the number of the weights, the rows, and the
/// number of the first one.
fn tasks<const W: usize>(
    weights: &[Weights<'_>; W],
    size: usize,
    cancel: &CancelToken,
    run: &(dyn Fn(usize, Weights<'_>, usize) + Sync),
) {
    let counts = weights.map(|w| if is_grouped(w.kind) { w.rows.div_ceil(size) } else { 0 });
    for_each(counts.iter().sum(), |mut task: usize| {
        for (w, (weights, &count)) in weights.iter().zip(&counts).enumerate() {
            if task < count {
                let first = task * size;
                if !cancel.is_cancelled() {
                    run(w, weights.part(first, size.min(weights.rows - first)), first);
                }
                return;
            }
            task -= count;
        }
    });
}

/// What a task with several tokens does.
struct Tiles<'a> {
    rows: Weights<'a>,
    first: usize,
    panels: &'a Panels,
    shape: PanelShape,
    n: usize,
    stride: usize,
    out: &'a Output<'a>,
}

/// How many tokens a panel has, and the code for it.
#[derive(Clone, Copy)]
struct Tiling {
    tokens: usize,
    /// Whether rows, not tokens, lie in the lanes.
    few: bool,
    run: unsafe fn(&Tiles<'_>),
}

impl Tiling {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "only vectors of that processor need it"))]
    fn of(isa: Isa, n: usize) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if n <= 4 => Self { tokens: 4, few: true, run: few_avx512::<4> },
            // Panels of 32 that are for a good part empty would take longer.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if n <= 24 || (33..=56).contains(&n) => Self { tokens: 8, few: true, run: few_avx512::<8> },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self { tokens: 32, few: false, run: tiles_avx512::<Avx512, 6, 2> },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if n <= 4 => Self { tokens: 4, few: true, run: few_avx2::<4> },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if n <= 8 => Self { tokens: 8, few: true, run: few_avx2::<8> },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self { tokens: 16, few: false, run: tiles_avx2::<4, 2> },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self { tokens: 8, few: false, run: tiles::<super::lanes::Neon, 4, 2> },
            Isa::Portable => Self { tokens: 8, few: false, run: tiles::<super::lanes::Portable, 2, 1> },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn tiles_avx512<L: Lanes, const R: usize, const V: usize>(task: &Tiles<'_>) {
    tiles::<L, R, V>(task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tiles_avx2<const R: usize, const V: usize>(task: &Tiles<'_>) {
    tiles::<Avx2, R, V>(task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn few_avx512<const T: usize>(task: &Tiles<'_>) {
    few_of::<Avx512, T>(task);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn few_avx2<const T: usize>(task: &Tiles<'_>) {
    few_of::<Avx2, T>(task);
}

/// # Safety
/// As for [`tiles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn few_of<L: RowLanes, const T: usize>(task: &Tiles<'_>) {
    match task.rows.kind {
        WeightType::Q4_0 => few::<L, few::Q4_0, T>(task),
        WeightType::Q4_1 => few::<L, few::Q4_1, T>(task),
        WeightType::Q8_0 => few::<L, few::Q8_0, T>(task),
        WeightType::Q4K => few::<L, few::Q4K, T>(task),
        _ => (),
    }
}

/// # Safety
/// As for [`tiles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn few<L: RowLanes, F: RowFormat, const T: usize>(task: &Tiles<'_>) {
    let &Tiles { rows, first, panels, shape, n, stride, out } = task;
    let row_bytes = rows.bytes.len() / rows.rows.max(1);
    let mut padded = PADDED.take();
    for (index, bytes) in rows.bytes.chunks(L::N * row_bytes).enumerate() {
        let count = bytes.len() / row_bytes;
        let bytes = if count < L::N {
            padded.clear();
            padded.extend_from_slice(bytes);
            padded.resize(L::N * row_bytes, 0);
            &padded
        } else {
            bytes
        };
        for (part, panel) in panels.each(shape).enumerate().take(n.div_ceil(T)) {
            // SAFETY: there are `L::N` rows, and the panel was filled with as many groups of `T` tokens.
            let totals = few::multiply::<L, F, T>(bytes, shape.groups, panel);
            for (token, total) in totals.into_iter().enumerate().take(n - part * T) {
                let out = out.part((part * T + token) * stride + first + index * L::N, count);
                let mut values = [0f32; 16];
                L::store_float(total, values.as_mut_ptr());
                out.copy_from_slice(&values[..count]);
            }
        }
    }
    PADDED.set(padded);
}

/// # Safety
/// `L`'s instructions are there; nobody else writes the task's columns of the output.
#[inline(always)]
unsafe fn tiles<L: Lanes, const R: usize, const V: usize>(task: &Tiles<'_>) {
    let &Tiles { rows, first, panels, shape, n, stride, out } = task;
    let tokens = V * L::N;
    let (mut wide, mut tile) = SCRATCH.take();
    with_format!(rows.kind, F => wide.fill::<L, F, R>(rows.bytes, rows.rows, shape.groups), else return);
    tile.resize(TILE_TASK * tokens, 0.0);
    for (index, panel) in panels.each(shape).enumerate().take(n.div_ceil(tokens)) {
        for (index, tile) in tile.chunks_exact_mut(R * tokens).enumerate().take(rows.rows.div_ceil(R)) {
            // SAFETY: `wide` was filled with as many tiles, and the tile is `R` rows of `tokens` long.
            tile::multiply::<L, R, V>(&wide, index, shape.groups, panel, tile);
        }
        for token in 0..tokens.min(n - index * tokens) {
            let out = out.part((index * tokens + token) * stride + first, rows.rows);
            for (out, row) in out.iter_mut().zip(tile.chunks_exact(tokens)) {
                *out = row[token];
            }
        }
    }
    SCRATCH.set((wide, tile));
}

/// Rows times one token.
fn by_row(isa: Isa, rows: Weights<'_>, x: &Rounded, out: &mut [f32]) {
    match isa {
        // SAFETY: `Isa::Avx512` is made by `Isa::detect` only, which found the features that this was compiled for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { by_row_avx512(rows, x, out) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { by_row_avx2(rows, x, out) },
        // SAFETY: nothing is needed.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => unsafe { by_row_of::<super::lanes::Neon>(rows, x, out) },
        // SAFETY: nothing is needed.
        Isa::Portable => unsafe { by_row_of::<super::lanes::Portable>(rows, x, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn by_row_avx512(rows: Weights<'_>, x: &Rounded, out: &mut [f32]) {
    match rows.kind {
        WeightType::Q4K => wide_row::multiply(rows.bytes, x, out),
        _ => by_row_of::<Avx512>(rows, x, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn by_row_avx2(rows: Weights<'_>, x: &Rounded, out: &mut [f32]) {
    if half_bytes::takes(rows.kind) {
        half_bytes::multiply(rows.kind, rows.bytes, x, out);
    } else {
        by_row_of::<Avx2>(rows, x, out);
    }
}

/// # Safety
/// `L`'s instructions are there.
#[inline(always)]
unsafe fn by_row_of<L: Lanes>(rows: Weights<'_>, x: &Rounded, out: &mut [f32]) {
    with_format!(rows.kind, F => row::multiply::<L, F>(rows.bytes, x, out), else ());
}
