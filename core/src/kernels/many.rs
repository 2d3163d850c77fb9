//! Products of weight rows that are floats, or are unpacked to them, with several tokens. Tokens lie side by side in vectors, and each weight
//! multiplies all of them where it lies: only the tokens, which are few beside the weights, are laid out anew.

use std::cell::Cell;

use super::crew::for_each;
#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Lanes, Portable};
use super::output::Output;
use super::{Isa, WeightType, Weights};
use crate::cancel::CancelToken;

/// Weight rows of a task; a multiple of every tile's rows.
const TASK: usize = 48;
/// Columns whose products are summed by themselves: what a tile reads of them stays in the first-level cache, what a task reads in the second,
/// and sums are shorter.
const COLUMNS: usize = 256;
/// Values from one weight row to the next while a tile reads them: rows that were a power of two apart would fight for one place of the cache.
const PITCH: usize = COLUMNS + 16;

/// Columns between looks at a tile's end.
const UNROLLED: usize = 4;
/// Bytes that are fetched at once, and how often a row has as many.
const PIECE: usize = 256;
const PIECES: usize = COLUMNS * size_of::<f32>() / PIECE;
/// Tokens' values of [`COLUMNS`] columns, above which they do not stay in the second-level cache and are fetched ahead.
const FAR: usize = 1 << 18;
/// Pieces that a tile waits for, at most.
const MOST_PIECES: usize = 4;

thread_local! {
    // Taken and put back, not borrowed: a thread that waits for others may begin another product.
    static TOKENS: Cell<Vec<f32>> = Cell::default();
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// What a task works in.
#[derive(Default)]
struct Scratch {
    /// Its rows, where weights are not floats, `[TASK, columns]`.
    unpacked: Vec<f32>,
    /// Some columns of them, `[TASK, PITCH]`.
    near: Vec<f32>,
    /// Products, a panel of tokens after the other: `[count, tokens]` each.
    sums: Vec<f32>,
}

/// For each of `products`, `out = x weights^T`, `[n, weights.rows]`, for `x` `[n, columns]`. A value does not depend on the number of tokens.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn multiply<'a>(
    isa: Isa,
    x: &[f32],
    n: usize,
    products: impl Iterator<Item = (&'a Weights<'a>, &'a mut [f32])>,
    cancel: &CancelToken,
) {
    let mut products = products.peekable();
    let Some(columns) = products.peek().map(|(weights, _)| weights.columns) else { return };
    assert!(x.len() == n * columns, "matrix sizes");
    let tiles = Tiles::of(isa);
    let panels = Panels { n, columns, lanes: tiles.lanes, vectors: tiles.run.len() };
    let mut tokens = TOKENS.take();
    panels.fill(x, &mut tokens);
    for (weights, out) in products {
        let rows = weights.rows;
        assert!(weights.columns == columns && out.len() == n * rows, "matrix sizes");
        let out = Output::new(out);
        for_each(rows.div_ceil(TASK), |task| {
            if !cancel.is_cancelled() {
                let first = task * TASK;
                let weights = weights.part(first, TASK.min(rows - first));
                let task = Task { isa, tiles, weights, panels, tokens: &tokens };
                let mut scratch = SCRATCH.take();
                task.run(&mut scratch);
                // SAFETY: no two tasks have columns of the output in common.
                unsafe { task.write(&scratch.sums, &out, first, rows) };
                SCRATCH.set(scratch);
            }
        });
    }
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

/// Adds products, see [`tile`].
type TileFn = unsafe fn(w: *const f32, x: *const f32, columns: usize, sums: *mut f32);

/// The code for an instruction set. Each tile is a function of its own: where compilers see several at once, their sums leave the registers.
#[derive(Clone, Copy)]
struct Tiles {
    /// Tokens of a vector.
    lanes: usize,
    /// Weight rows of a tile.
    rows: usize,
    /// For panels of one vector, two, and so on.
    run: &'static [TileFn],
    /// Fetches [`PIECE`] bytes, which need not be readable.
    fetch: unsafe fn(*const u8),
}

impl Tiles {
    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self {
                lanes: Avx512::N,
                rows: 8,
                run: &[avx512::<8, 1>, avx512::<8, 2>, avx512::<8, 3>],
                fetch: fetch::<Avx512>,
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self { lanes: Avx2::N, rows: 6, run: &[avx2::<6, 1>, avx2::<6, 2>], fetch: fetch::<Avx2> },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self {
                lanes: Neon::N,
                rows: 6,
                run: &[tile::<Neon, 6, 1>, tile::<Neon, 6, 2>, tile::<Neon, 6, 3>],
                fetch: fetch::<Neon>,
            },
            Isa::Portable => Self {
                lanes: Portable::N,
                rows: 2,
                run: &[tile::<Portable, 2, 1>, tile::<Portable, 2, 2>, tile::<Portable, 2, 3>],
                fetch: fetch::<Portable>,
            },
        }
    }
}

/// # Safety
/// `L`'s instructions are there.
unsafe fn fetch<L: Lanes>(from: *const u8) {
    for at in (0..PIECE).step_by(64) {
        L::prefetch(from.wrapping_add(at));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn avx512<const R: usize, const V: usize>(w: *const f32, x: *const f32, columns: usize, sums: *mut f32) {
    tile::<Avx512, R, V>(w, x, columns, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<const R: usize, const V: usize>(w: *const f32, x: *const f32, columns: usize, sums: *mut f32) {
    tile::<Avx2, R, V>(w, x, columns, sums);
}

/// Some weight rows times all tokens.
struct Task<'a> {
    isa: Isa,
    tiles: Tiles,
    weights: Weights<'a>,
    panels: Panels,
    tokens: &'a [f32],
}

impl Task<'_> {
    /// Rows with those that fill the last tile.
    fn padded(&self) -> usize {
        self.weights.rows.next_multiple_of(self.tiles.rows)
    }

    /// Sums products with all tokens.
    fn run(&self, scratch: &mut Scratch) {
        let &Self { isa, tiles, weights, panels, tokens } = self;
        let Scratch { unpacked, near, sums } = scratch;
        let columns = weights.columns;
        if weights.kind != WeightType::F32 {
            unpacked.resize(TASK * columns, 0.0);
            weights.unpack_rows(isa, 0, &mut unpacked[..weights.rows * columns]);
        }
        let padded = self.padded();
        near.resize(TASK * PITCH, 0.0);
        sums.clear();
        sums.resize(padded * panels.n.next_multiple_of(panels.lanes), 0.0);
        for from in (0..columns).step_by(COLUMNS) {
            let length = COLUMNS.min(columns - from);
            for (row, near) in near.chunks_exact_mut(PITCH).take(weights.rows).enumerate() {
                let near = &mut near[..length];
                match weights.kind {
                    WeightType::F32 => {
                        let bytes = &weights.bytes[(row * columns + from) * size_of::<f32>()..];
                        for (near, bytes) in near.iter_mut().zip(bytes.as_chunks().0) {
                            *near = f32::from_le_bytes(*bytes);
                        }
                    }
                    _ => near.copy_from_slice(&unpacked[row * columns + from..][..length]),
                }
            }
            let mut ahead = self.weights_ahead(from + COLUMNS);
            for panel in 0..panels.count() {
                let (start, vectors) = (panel * panels.width(), panels.vectors_of(panel));
                let width = vectors * panels.lanes;
                let x = &tokens[start * columns + from * width..][..length * width];
                let mut next = self.tokens_ahead(panel, from);
                for row in (0..padded).step_by(tiles.rows) {
                    // What the rows hold that fill the last tile does not matter.
                    let w = &near[row * PITCH..][..tiles.rows * PITCH];
                    let sums = &mut sums[start * padded + row * width..][..tiles.rows * width];
                    ahead.go(tiles.fetch);
                    next.go(tiles.fetch);
                    // SAFETY: the tile was chosen for features that `Isa::detect` found, and for so many rows and vectors.
                    unsafe { tiles.run[vectors - 1](w.as_ptr(), x.as_ptr(), length, sums.as_mut_ptr()) };
                }
            }
        }
    }

    /// What follows columns `from` and later of a panel's tokens: those of the next panel, after the last one the first one's next columns.
    fn tokens_ahead(&self, panel: usize, from: usize) -> Ahead {
        let panels = self.panels;
        let (panel, from) = match panel + 1 {
            next if next < panels.count() => (next, from),
            _ if from + COLUMNS < panels.columns => (0, from + COLUMNS),
            _ => (0, 0),
        };
        let width = panels.vectors_of(panel) * panels.lanes;
        let values = COLUMNS.min(panels.columns - from) * width;
        let far = panels.n * COLUMNS > FAR;
        let pieces = if far { (values * size_of::<f32>()).div_ceil(PIECE) } else { 0 };
        Ahead {
            next: self.tokens[panel * panels.width() * panels.columns + from * width..].as_ptr().cast(),
            stride: PIECES * PIECE,
            each: pieces.div_ceil(self.padded() / self.tiles.rows),
            piece: 0,
            pieces,
        }
    }

    /// What is read of the weights after the columns before `from`, fetched while they are multiplied.
    fn weights_ahead(&self, from: usize) -> Ahead {
        let Weights { bytes, columns, rows, kind } = self.weights;
        // Behind the last columns follow the first ones of the rows below.
        let (bytes, from) = if from < columns { (bytes.as_ptr(), from) } else { (bytes.as_ptr_range().end, 0) };
        let tiles = self.panels.count() * rows.div_ceil(self.tiles.rows);
        let pieces = if kind == WeightType::F32 { PIECES * rows } else { 0 };
        Ahead {
            next: bytes.wrapping_add(from * size_of::<f32>()),
            stride: columns * size_of::<f32>(),
            each: pieces.div_ceil(tiles).min(MOST_PIECES),
            piece: 0,
            pieces,
        }
    }

    /// Writes the products to the output's columns from `first` on; it is `width` wide.
    ///
    /// # Safety
    /// Nobody else writes these columns.
    unsafe fn write(&self, sums: &[f32], out: &Output<'_>, first: usize, width: usize) {
        let (panels, rows) = (self.panels, self.weights.rows);
        for panel in 0..panels.count() {
            let start = panel * panels.width();
            let tokens = panels.vectors_of(panel) * panels.lanes;
            let sums = &sums[start * self.padded()..][..rows * tokens];
            for token in 0..tokens.min(panels.n - start) {
                let out = out.part((start + token) * width + first, rows);
                for (out, sums) in out.iter_mut().zip(sums.chunks_exact(tokens)) {
                    *out = sums[token];
                }
            }
        }
    }
}

/// Memory that is fetched piece by piece.
struct Ahead {
    next: *const u8,
    /// Bytes from [`PIECES`] pieces to the next.
    stride: usize,
    /// Pieces at a time.
    each: usize,
    piece: usize,
    pieces: usize,
}

impl Ahead {
    /// Has the next pieces fetched.
    #[inline(always)]
    fn go(&mut self, fetch: unsafe fn(*const u8)) {
        for piece in self.piece..self.pieces.min(self.piece + self.each) {
            let at = piece / PIECES * self.stride + piece % PIECES * PIECE;
            // SAFETY: the function was chosen for features that `Isa::detect` found; what is fetched need not be readable.
            unsafe { fetch(self.next.wrapping_add(at)) };
        }
        self.piece += self.each;
    }
}

/// Adds the products of `R` rows' next `columns` weights with those of `V * N` tokens to `sums` `[R, V * N]`.
///
/// # Safety
/// `L`'s instructions are there; `w` has `R` rows of [`PITCH`] values, `x` `columns` times `V * N`.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize, const V: usize>(w: *const f32, x: *const f32, columns: usize, sums: *mut f32) {
    let mut totals = [[L::zero_float(); V]; R];
    let (mut w, mut x) = (w, x);
    for _ in 0..columns / UNROLLED {
        for column in 0..UNROLLED {
            step::<L, R, V>(w.add(column), x.add(column * V * L::N), &mut totals);
        }
        (w, x) = (w.add(UNROLLED), x.add(UNROLLED * V * L::N));
    }
    for column in 0..columns % UNROLLED {
        step::<L, R, V>(w.add(column), x.add(column * V * L::N), &mut totals);
    }
    for (row, totals) in totals.into_iter().enumerate() {
        for (v, total) in totals.into_iter().enumerate() {
            let at = sums.add((row * V + v) * L::N);
            L::store_float(L::add(total, L::load_float(at)), at);
        }
    }
}

/// One column of a [`tile`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn step<L: Lanes, const R: usize, const V: usize>(
    w: *const f32,
    x: *const f32,
    totals: &mut [[L::Float; V]; R],
) {
    let x: [L::Float; V] = std::array::from_fn(|v| L::load_float(x.add(v * L::N)));
    for (row, totals) in totals.iter_mut().enumerate() {
        let w = L::splat_float(*w.add(row * PITCH));
        for (total, x) in totals.iter_mut().zip(x) {
            *total = L::mul_add(x, w, *total);
        }
    }
}
