//! Activations rounded to 16 bits, 32 to a scale.
//!
//! The scale is the largest magnitude of the 32 over 32767, so a value is off by at most 1.6e-5 of that magnitude: less than what the order
//! of f32 additions costs in a long sum.

use rayon::prelude::*;

use crate::kernels::lanes::GROUP;

/// The largest rounded magnitude.
const TOP: f32 = 32767.0;
/// A magnitude below which a group counts as zero; its scale would be subnormal.
const LEAST: f32 = 1e-30;

/// Rows of rounded activations.
#[derive(Debug, Default)]
pub struct Rounded {
    /// `[n, columns]`.
    pub values: Vec<i16>,
    /// What a value is multiplied with, `[n, columns / 32]`.
    pub scales: Vec<f32>,
    /// The sum of the activations of a group, as they were, `[n, columns / 32]`.
    pub sums: Vec<f32>,
}

impl Rounded {
    /// Rounds `x`, whose length is a multiple of 32.
    pub fn fill(&mut self, x: &[f32]) {
        let groups = x.len() / GROUP;
        self.values.resize(x.len(), 0);
        self.scales.resize(groups, 0.0);
        self.sums.resize(groups, 0.0);
        let out = self.values.chunks_exact_mut(GROUP).zip(self.scales.iter_mut().zip(&mut self.sums));
        for (x, (values, (scale, sum))) in x.chunks_exact(GROUP).zip(out) {
            (*scale, *sum) = round(x, values);
        }
    }
}

/// Rounds one group; gives its scale and the sum of its activations.
#[inline(always)]
fn round(x: &[f32], values: &mut [i16]) -> (f32, f32) {
    let mut lanes = [0f32; 8];
    let mut sums = [0f32; 8];
    for x in x.chunks_exact(8) {
        for ((most, sum), x) in lanes.iter_mut().zip(&mut sums).zip(x) {
            *most = if x.abs() > *most { x.abs() } else { *most };
            *sum += x;
        }
    }
    let most = lanes.iter().copied().fold(0f32, f32::max);
    if most < LEAST {
        values.fill(0);
        return (0.0, sums.iter().sum());
    }
    // Infinity and NaN have no scale: what comes out is NaN, as it would without rounding.
    let inverse = TOP / most;
    for (value, x) in values.iter_mut().zip(x) {
        // Adding this rounds to the nearest and leaves the integer in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        *value = (x * inverse + ROUND).to_bits() as i16;
    }
    (most / TOP, sums.iter().sum())
}

/// Tokens side by side: what the tile kernel reads, `T` tokens to a panel. Tokens that the last panel has too many are zero.
#[derive(Debug, Default)]
pub struct Panels {
    /// `[panels, columns / 2, T]` pairs of neighbouring values.
    pub pairs: Vec<i32>,
    /// `[panels, groups, T]`.
    pub scales: Vec<f32>,
    /// `[panels, groups, T]`.
    pub sums: Vec<f32>,
}

/// What a panel is made of.
#[derive(Debug, Clone, Copy)]
pub struct PanelShape {
    /// Tokens of a panel.
    pub tokens: usize,
    /// Groups of a row.
    pub groups: usize,
    /// Whether the pairs of four neighbouring columns are 0 and 2, 1 and 3, in place of 0 and 1, 2 and 3.
    pub crossed: bool,
}

impl PanelShape {
    /// Pairs of a panel.
    pub fn pairs(self) -> usize {
        self.groups * GROUP / 2 * self.tokens
    }

    /// Scales of a panel, and sums.
    pub fn scales(self) -> usize {
        self.groups * self.tokens
    }
}

impl Panels {
    /// Rounds `x` `[n, columns]` and lays it out.
    pub fn fill(&mut self, x: &[f32], n: usize, shape: PanelShape) {
        let count = n.div_ceil(shape.tokens);
        self.pairs.resize(count * shape.pairs(), 0);
        self.scales.resize(count * shape.scales(), 0.0);
        self.sums.resize(count * shape.scales(), 0.0);
        let columns = shape.groups * GROUP;
        let panels = self
            .pairs
            .par_chunks_exact_mut(shape.pairs())
            .zip(self.scales.par_chunks_exact_mut(shape.scales()).zip(self.sums.par_chunks_exact_mut(shape.scales())));
        panels.zip(x.par_chunks(shape.tokens * columns)).for_each(|((pairs, (scales, sums)), x)| {
            let filled = x.len() / columns;
            let parts = pairs
                .chunks_exact_mut(GROUP / 2 * shape.tokens)
                .zip(scales.chunks_exact_mut(shape.tokens).zip(sums.chunks_exact_mut(shape.tokens)));
            for (group, (pairs, (scales, sums))) in parts.enumerate() {
                let mut values = [0i16; GROUP];
                for (token, row) in x.chunks_exact(columns).enumerate() {
                    (scales[token], sums[token]) = round(&row[group * GROUP..][..GROUP], &mut values);
                    if shape.crossed {
                        values.chunks_exact_mut(4).for_each(|quad| quad.swap(1, 2));
                    }
                    for (pair, column) in values.chunks_exact(2).zip(pairs.chunks_exact_mut(shape.tokens)) {
                        column[token] = i32::from(pair[0]) & 0xffff | i32::from(pair[1]) << 16;
                    }
                }
                pairs.chunks_exact_mut(shape.tokens).for_each(|column| column[filled..].fill(0));
                scales[filled..].fill(0.0);
                sums[filled..].fill(0.0);
            }
        });
    }
}
