//! Some weight rows times a panel of tokens, whose sums stay in registers.

use super::format::Format;
use crate::kernels::lanes::{Lanes, GROUP};

/// Weight rows with their integers widened to 16 bits, `R` rows to a tile: what one step of a tile reads lies together.
#[derive(Debug, Default)]
pub struct WideRows {
    /// `[tiles, groups, R, 32]`.
    values: Vec<i16>,
    /// `[tiles, groups, R]`.
    scales: Vec<f32>,
    /// `[tiles, groups, R]`.
    minima: Vec<f32>,
}

impl WideRows {
    /// Reads `rows` rows of `groups` groups. What the last tile's rows hold that are not there is of no account.
    ///
    /// # Safety
    /// `L`'s instructions are there.
    #[inline(always)]
    pub unsafe fn fill<L: Lanes, F: Format, const R: usize>(&mut self, bytes: &[u8], rows: usize, groups: usize) {
        let parts = rows.div_ceil(R) * groups * R;
        self.values.resize(parts * GROUP, 0);
        self.scales.resize(parts, 0.0);
        self.minima.resize(parts, 0.0);
        let row_bytes = groups / F::GROUPS * F::BYTES;
        for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate().take(rows) {
            let first = row / R * R * groups + row % R;
            for (block, bytes) in bytes.chunks_exact(F::BYTES).enumerate() {
                for group in 0..F::GROUPS {
                    let at = first + (block * F::GROUPS + group) * R;
                    let (integers, scale, minimum) = F::group::<L>(bytes.as_ptr(), group);
                    // SAFETY: `at` is below `parts`, since the row and the group are.
                    L::store_group(integers, self.values.as_mut_ptr().add(at * GROUP));
                    *self.scales.as_mut_ptr().add(at) = scale;
                    *self.minima.as_mut_ptr().add(at) = minimum;
                }
            }
        }
    }
}

/// A panel of tokens; see `Panels`.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    pub pairs: &'a [i32],
    pub scales: &'a [f32],
    pub sums: &'a [f32],
}

/// `out[row][token]` for the `R` rows of tile `index` and the `V * N` tokens of a panel; rows of `out` follow each other without a gap.
///
/// # Safety
/// `L`'s instructions are there. `rows` was filled with this `R` and so many `groups` and has the tile, `panel` has `V * N` tokens of as many
/// groups, `out` is `R * V * N` long.
#[inline(always)]
pub unsafe fn multiply<L: Lanes, const R: usize, const V: usize>(
    rows: &WideRows,
    index: usize,
    groups: usize,
    panel: Panel<'_>,
    out: &mut [f32],
) {
    let tokens = V * L::N;
    debug_assert!(
        rows.scales.len() >= (index + 1) * groups * R
            && panel.scales.len() == groups * tokens
            && out.len() == R * tokens
    );
    let mut values = rows.values.as_ptr().add(index * groups * R * GROUP);
    let (mut scales, mut minima) =
        (rows.scales.as_ptr().add(index * groups * R), rows.minima.as_ptr().add(index * groups * R));
    let mut pairs = panel.pairs.as_ptr();
    let (mut x_scales, mut x_sums) = (panel.scales.as_ptr(), panel.sums.as_ptr());
    let mut totals = [[L::zero_float(); V]; R];
    for _ in 0..groups {
        let mut sums = [[L::zero(); V]; R];
        for pair in 0..GROUP / 2 {
            let mut x = [L::zero(); V];
            for (v, x) in x.iter_mut().enumerate() {
                *x = L::load(pairs.add(pair * tokens + v * L::N));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let w = L::splat(values.add(row * GROUP + 2 * pair));
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = L::dot_pairs(*sum, x, w);
                }
            }
        }
        for v in 0..V {
            let (x_scale, x_sum) = (L::load_float(x_scales.add(v * L::N)), L::load_float(x_sums.add(v * L::N)));
            for row in 0..R {
                let scale = L::mul(L::splat_float(*scales.add(row)), x_scale);
                let total = L::mul_add(L::to_float(sums[row][v]), scale, totals[row][v]);
                totals[row][v] = L::mul_add(L::splat_float(*minima.add(row)), x_sum, total);
            }
        }
        values = values.add(R * GROUP);
        (scales, minima) = (scales.add(R), minima.add(R));
        pairs = pairs.add(GROUP / 2 * tokens);
        (x_scales, x_sums) = (x_scales.add(tokens), x_sums.add(tokens));
    }
    for (row, totals) in totals.into_iter().enumerate() {
        for (v, total) in totals.into_iter().enumerate() {
            L::store_float(total, out.as_mut_ptr().add(row * tokens + v * L::N));
        }
    }
}
