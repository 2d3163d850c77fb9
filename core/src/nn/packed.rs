//! Products with f32 weights that are packed once, when they are loaded.
//!
//! The weights lie in panels of one to three vectors of columns, so that a step of the inner loop reads one stretch of memory. A tile of
//! rows stays in registers over the whole depth; the bias is what its sums begin with. Sums go over the depth in order: results do not
//! depend on the number of threads.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    reason = "vector kernels chosen at run time; every unsafe function says what it needs"
)]

use rayon::prelude::*;

use super::parameters::Activation;
use crate::kernels::lanes::{Lanes, Portable};
use crate::kernels::Isa;

#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};

/// Rows that a thread takes at a time, at most: with the widest of our layers they fit the second cache beside a panel.
const ROWS: usize = 96;
/// Bytes of a panel that stays in the first cache beside the rows.
const NEAR: usize = 20 << 10;
/// Products below this are not worth a second thread.
const PARALLEL: usize = 1 << 18;
/// Most values of a row of a tile: three vectors of the widest set.
const TILE: usize = 48;

/// 16 values that begin on a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Weights `[depth, columns]` and a bias, ready to be multiplied with.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    isa: Isa,
    depth: usize,
    columns: usize,
    /// Panels one after the other, each beginning with its bias.
    lines: Vec<Line>,
}

/// What is multiplied: `count` rows in `data`, each `stride` after the one before. They may overlap. A row is `lines` pieces of one length,
/// `pitch` apart: the lines of a picture that a window lies on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub data: &'a [f32],
    pub count: usize,
    pub stride: usize,
    pub lines: usize,
    pub pitch: usize,
}

impl<'a> Rows<'a> {
    /// Rows of one piece each.
    pub fn new(data: &'a [f32], count: usize, stride: usize) -> Self {
        Self { data, count, stride, lines: 1, pitch: 0 }
    }
}

impl Packed {
    /// Packs weights, `weight(k, column)` each, and the bias (nothing for none).
    pub fn new(depth: usize, columns: usize, weight: impl Fn(usize, usize) -> f32, bias: &[f32]) -> Self {
        let mut packed = Self { isa: Isa::detect(), depth, columns, lines: Vec::new() };
        packed.pack(weight, bias);
        packed
    }

    fn pack(&mut self, weight: impl Fn(usize, usize) -> f32, bias: &[f32]) {
        let (depth, columns) = (self.depth, self.columns);
        let mut values = Vec::new();
        let mut first = 0;
        while first < columns {
            let width = self.width(first);
            let valid = width.min(columns - first);
            let start = values.len();
            values.resize(start + self.panel(width), 0.0);
            for column in 0..valid {
                values[start + column] = bias.get(first + column).copied().unwrap_or(0.0);
            }
            for (k, row) in values[start + width..].chunks_exact_mut(width).take(depth).enumerate() {
                for (column, value) in row.iter_mut().take(valid).enumerate() {
                    *value = weight(k, first + column);
                }
            }
            first += width;
        }
        self.lines = values.chunks_exact(16).map(|chunk| Line(std::array::from_fn(|i| chunk[i]))).collect();
    }

    /// Rows of the weights.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the weights.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn lanes(&self) -> usize {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::N,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::N,
            Isa::Portable => Portable::N,
        }
    }

    /// Columns in the panel that begins with column `first`. Three vectors need the fewest loads, one vector the most.
    fn width(&self, first: usize) -> usize {
        let lanes = self.lanes();
        let most = if self.panel(3 * lanes) * size_of::<f32>() <= NEAR { 3 } else { 2 };
        let left = (self.columns - first).div_ceil(lanes);
        // Two and two rather than three and one.
        lanes * if left == 4 { 2 } else { left.min(most) }
    }

    /// Values of a panel of `width` columns, in whole lines.
    fn panel(&self, width: usize) -> usize {
        ((1 + self.depth) * width).next_multiple_of(16)
    }

    /// `out = then(x w + bias)`, or with `add` `out = then(out + x w + bias)`; `out` is `[x.count, columns]`, its rows `out_stride` apart.
    ///
    /// # Panics
    /// When `x` or `out` is too short; callers size them from the same numbers.
    pub fn apply(&self, out: &mut [f32], out_stride: usize, x: Rows<'_>, add: bool, then: Activation, parallel: bool) {
        if x.count == 0 || self.columns == 0 {
            return;
        }
        let reach = |count: usize, stride: usize, width: usize| {
            (count - 1).checked_mul(stride).and_then(|n| n.checked_add(width)).unwrap_or(usize::MAX)
        };
        assert!(x.lines > 0 && self.depth.is_multiple_of(x.lines), "matrix sizes");
        let row = reach(x.lines, x.pitch, self.depth / x.lines);
        assert!(out_stride >= self.columns && reach(x.count, out_stride, self.columns) <= out.len(), "matrix sizes");
        assert!(reach(x.count, x.stride, row) <= x.data.len(), "matrix sizes");
        let work = x.count.saturating_mul(self.depth).saturating_mul(self.columns);
        let threads = rayon::current_num_threads();
        let split = parallel && threads > 1 && work > PARALLEL;
        let rows = if split { x.count.div_ceil(2 * threads).next_multiple_of(12).min(ROWS) } else { ROWS };
        let block = |(number, out): (usize, &mut [f32])| {
            let first = number * rows;
            let x = Rows { data: x.data.get(first * x.stride..).unwrap_or(&[]), count: rows.min(x.count - first), ..x };
            // SAFETY: the sizes were checked above for all rows, of which these are some, and `isa` was found on this CPU.
            unsafe { self.block(out, out_stride, x, add, then) }
        };
        let out = &mut out[..(x.count - 1) * out_stride + self.columns];
        match split {
            true => out.par_chunks_mut(rows * out_stride).enumerate().for_each(block),
            false => out.chunks_mut(rows * out_stride).enumerate().for_each(block),
        }
    }

    /// # Safety
    /// `self.isa` is there; `x` and `out` hold `x.count` rows at their strides.
    unsafe fn block(&self, out: &mut [f32], out_stride: usize, x: Rows<'_>, add: bool, then: Activation) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn avx512(p: &Packed, out: &mut [f32], stride: usize, x: Rows<'_>, add: bool, then: Activation) {
            panels::<Avx512, 12, 12, 8>(p, out, stride, x, add, then);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2(p: &Packed, out: &mut [f32], stride: usize, x: Rows<'_>, add: bool, then: Activation) {
            panels::<Avx2, 12, 6, 3>(p, out, stride, x, add, then);
        }
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(self, out, out_stride, x, add, then),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(self, out, out_stride, x, add, then),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => panels::<Neon, 12, 8, 8>(self, out, out_stride, x, add, then),
            Isa::Portable => panels::<Portable, 4, 4, 4>(self, out, out_stride, x, add, then),
        }
    }
}

/// All columns of a block of rows; tiles of one, two and three vectors have `R1`, `R2` and `R3` rows.
///
/// # Safety
/// The instructions of `L` are there; `x` and `out` hold `x.count` rows at their strides; `p` was packed for `L`.
#[inline(always)]
unsafe fn panels<L: Lanes, const R1: usize, const R2: usize, const R3: usize>(
    p: &Packed,
    out: &mut [f32],
    stride: usize,
    x: Rows<'_>,
    add: bool,
    then: Activation,
) {
    let weights = p.lines.as_ptr().cast::<f32>();
    let (slope, greatest) = then.bounds();
    let (mut first, mut at) = (0, 0);
    while first < p.columns {
        let width = p.width(first);
        let tile = Tile {
            weights: weights.add(at),
            x: x.data.as_ptr(),
            x_stride: x.stride,
            lines: x.lines,
            pitch: x.pitch,
            piece: p.depth / x.lines,
            out: out.as_mut_ptr().add(first),
            stride,
            columns: width.min(p.columns - first),
            add,
            slope,
            greatest,
        };
        match width / L::N {
            1 => rows::<L, R1, 1>(tile, x.count),
            2 => rows::<L, R2, 2>(tile, x.count),
            _ => rows::<L, R3, 3>(tile, x.count),
        }
        first += width;
        at += p.panel(width);
    }
}

/// A panel, and where its rows are read and written.
#[derive(Clone, Copy)]
struct Tile {
    weights: *const f32,
    x: *const f32,
    x_stride: usize,
    lines: usize,
    pitch: usize,
    /// Values of a row in each line.
    piece: usize,
    out: *mut f32,
    stride: usize,
    /// Columns that are written.
    columns: usize,
    add: bool,
    slope: f32,
    greatest: f32,
}

impl Tile {
    /// # Safety
    /// There is a row so many rows on.
    #[inline(always)]
    unsafe fn down(mut self, rows: usize) -> Self {
        self.x = self.x.add(rows * self.x_stride);
        self.out = self.out.add(rows * self.stride);
        self
    }
}

/// # Safety
/// As for [`panels`]; the tile's pointers hold `count` rows.
#[inline(always)]
unsafe fn rows<L: Lanes, const R: usize, const V: usize>(tile: Tile, count: usize) {
    let mut row = 0;
    while row + R <= count {
        sums::<L, R, V>(tile.down(row));
        row += R;
    }
    if R > 4 && row + 4 <= count {
        sums::<L, 4, V>(tile.down(row));
        row += 4;
    }
    if R > 8 && row + 4 <= count {
        sums::<L, 4, V>(tile.down(row));
        row += 4;
    }
    if row + 2 <= count {
        sums::<L, 2, V>(tile.down(row));
        row += 2;
    }
    if row < count {
        sums::<L, 1, V>(tile.down(row));
    }
}

/// # Safety
/// As for [`panels`]; the tile's pointers hold `R` rows, its weights a bias and, for each value of a row, `V` vectors.
#[inline(always)]
unsafe fn sums<L: Lanes, const R: usize, const V: usize>(tile: Tile) {
    let mut sums = [[L::zero_float(); V]; R];
    for row in &mut sums {
        for (v, sum) in row.iter_mut().enumerate() {
            *sum = L::load_float(tile.weights.add(v * L::N));
        }
    }
    let mut weights = tile.weights.add(V * L::N);
    let mut w = [L::zero_float(); V];
    for line in 0..tile.lines {
        let x = tile.x.add(line * tile.pitch);
        for k in 0..tile.piece {
            for (v, w) in w.iter_mut().enumerate() {
                *w = L::load_float(weights.add(v * L::N));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let x = L::splat_float(*x.add(r * tile.x_stride + k));
                for (sum, w) in row.iter_mut().zip(w) {
                    *sum = L::mul_add(x, w, *sum);
                }
            }
            weights = weights.add(V * L::N);
        }
    }
    let (slope, greatest) = (L::splat_float(tile.slope), L::splat_float(tile.greatest));
    for (r, row) in sums.into_iter().enumerate() {
        let out = tile.out.add(r * tile.stride);
        if tile.columns == V * L::N {
            finish::<L, V>(row, out, tile.add, slope, greatest);
            continue;
        }
        // Not all of the vectors' columns are there.
        let mut values = [0.0; TILE];
        std::ptr::copy_nonoverlapping(out, values.as_mut_ptr(), tile.columns);
        finish::<L, V>(row, values.as_mut_ptr(), tile.add, slope, greatest);
        std::ptr::copy_nonoverlapping(values.as_ptr(), out, tile.columns);
    }
}

/// # Safety
/// The instructions of `L` are there; `out` holds `V` vectors.
#[inline(always)]
unsafe fn finish<L: Lanes, const V: usize>(
    sums: [L::Float; V],
    out: *mut f32,
    add: bool,
    slope: L::Float,
    greatest: L::Float,
) {
    for (v, mut sum) in sums.into_iter().enumerate() {
        let out = out.add(v * L::N);
        if add {
            sum = L::add(L::load_float(out), sum);
        }
        L::store_float(L::limit(sum, slope, greatest), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_the_plain_sums(
            count in 0usize..60,
            depth in 1usize..40,
            columns in 1usize..90,
            gap in 0usize..3,
            add in any::<bool>(),
            parallel in any::<bool>(),
        ) {
            let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
            let weights: Vec<f32> = (0..depth * columns).map(value).collect();
            let bias: Vec<f32> = (0..columns).map(|i| value(i + 5)).collect();
            let x: Vec<f32> = (0..count * (depth + gap)).map(|i| value(3 * i + 1)).collect();
            let packed = Packed::new(depth, columns, |k, column| weights[k * columns + column], &bias);
            let stride = columns + gap;
            let before: Vec<f32> = (0..count * stride).map(|i| value(i + 9)).collect();
            #[cfg(target_arch = "x86_64")]
            let narrow = packed.isa.min(Isa::Avx2);
            #[cfg(not(target_arch = "x86_64"))]
            let narrow = Isa::Portable;
            for isa in [packed.isa, narrow, Isa::Portable] {
                let packed = match isa == packed.isa {
                    true => packed.clone(),
                    false => repacked(isa, depth, columns, &weights, &bias),
                };
                let mut out = before.clone();
                let rows = Rows::new(&x, count, depth + gap);
                packed.apply(&mut out, stride, rows, add, Activation::Relu, parallel);
                for (i, (&got, &before)) in out.iter().zip(&before).enumerate() {
                    let (row, column) = (i / stride, i % stride);
                    if column >= columns {
                        prop_assert_eq!(got, before, "the gap is not written");
                        continue;
                    }
                    let sum: f32 = (0..depth).map(|k| x[row * (depth + gap) + k] * weights[k * columns + column]).sum();
                    let expected = (sum + bias[column] + if add { before } else { 0.0 }).max(0.0);
                    prop_assert!((got - expected).abs() < 1e-4, "{} is not {}", got, expected);
                }
            }
        }
    }

    fn repacked(isa: Isa, depth: usize, columns: usize, weights: &[f32], bias: &[f32]) -> Packed {
        let mut packed = Packed { isa, depth, columns, lines: Vec::new() };
        packed.pack(|k, column| weights[k * columns + column], bias);
        packed
    }
}
