//! Activations rounded to 16 bits, 32 to a scale.
//!
//! The scale is the largest magnitude of the 32 over 32767, so a value is off by at most 1.6e-5 of that magnitude: less than what the order
//! of f32 additions costs in a long sum.

use super::tile::Panel;
use crate::kernels::crew::for_each;
use crate::kernels::dense::dispatch;
use crate::kernels::lanes::GROUP;
use crate::kernels::output::Output;
use crate::kernels::Isa;

/// The largest rounded magnitude.
const TOP: f32 = 32767.0;
/// Groups of a task.
const TASK: usize = 16;
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
    /// The values in the order of `wide_row` or `half_bytes`, where these are used.
    pub crossed: Vec<i16>,
}

impl Rounded {
    /// Rounds `x`, whose length is a multiple of 32.
    pub fn fill(&mut self, isa: Isa, x: &[f32]) {
        let groups = x.len() / GROUP;
        self.values.resize(x.len(), 0);
        self.scales.resize(groups, 0.0);
        self.sums.resize(groups, 0.0);
        let Self { values, scales, sums, .. } = self;
        dispatch!(isa, round_all(x: &[f32], values: &mut [i16], scales: &mut [f32], sums: &mut [f32]));
    }
}

#[inline(always)]
fn round_all<const FMA: bool>(x: &[f32], values: &mut [i16], scales: &mut [f32], sums: &mut [f32]) {
    let out = values.chunks_exact_mut(GROUP).zip(scales.iter_mut().zip(sums));
    for (x, (values, (scale, sum))) in x.chunks_exact(GROUP).zip(out) {
        (*scale, *sum) = round(x, values);
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
    /// Each panel.
    pub fn each(&self, shape: PanelShape) -> impl Iterator<Item = Panel<'_>> {
        let scales = self.scales.chunks_exact(shape.scales()).zip(self.sums.chunks_exact(shape.scales()));
        let parts = self.pairs.chunks_exact(shape.pairs()).zip(scales);
        parts.map(|(pairs, (scales, sums))| Panel { pairs, scales, sums })
    }

    /// Rounds `x` `[n, columns]` and lays it out.
    pub fn fill(&mut self, isa: Isa, x: &[f32], n: usize, shape: PanelShape) {
        let count = n.div_ceil(shape.tokens);
        self.pairs.resize(count * shape.pairs(), 0);
        self.scales.resize(count * shape.scales(), 0.0);
        self.sums.resize(count * shape.scales(), 0.0);
        let (pairs, scales, sums) =
            (Output::new(&mut self.pairs), Output::new(&mut self.scales), Output::new(&mut self.sums));
        let columns = shape.groups * GROUP;
        let tasks = shape.groups.div_ceil(TASK);
        for_each(count * tasks, |task| {
            let (panel, first) = (task / tasks, task % tasks * TASK);
            let groups = TASK.min(shape.groups - first);
            let at = panel * shape.groups + first;
            // SAFETY: each task has groups of its own.
            let (pairs, scales, sums) = unsafe {
                (
                    pairs.part(at * GROUP / 2 * shape.tokens, groups * GROUP / 2 * shape.tokens),
                    scales.part(at * shape.tokens, groups * shape.tokens),
                    sums.part(at * shape.tokens, groups * shape.tokens),
                )
            };
            let x = &x[panel * shape.tokens * columns..n.min((panel + 1) * shape.tokens) * columns];
            let part = Part { pairs, scales, sums };
            dispatch!(isa, fill_part(x: &[f32], first: usize, shape: PanelShape, part: Part<'_>));
        });
    }
}

/// Some groups of a panel.
struct Part<'a> {
    pairs: &'a mut [i32],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
}

/// Groups from `first` on of the rows of a panel.
#[inline(always)]
fn fill_part<const FMA: bool>(x: &[f32], first: usize, shape: PanelShape, part: Part<'_>) {
    let columns = shape.groups * GROUP;
    let filled = x.len() / columns;
    let groups = part
        .pairs
        .chunks_exact_mut(GROUP / 2 * shape.tokens)
        .zip(part.scales.chunks_exact_mut(shape.tokens).zip(part.sums.chunks_exact_mut(shape.tokens)));
    for (group, (pairs, (scales, sums))) in (first..).zip(groups) {
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
}
