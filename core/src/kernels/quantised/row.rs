//! One weight row times one token: weights are read once, as they lie in the file.

use super::format::{Format, Token};
use super::rounded::Rounded;
use crate::kernels::lanes::{Lanes, GROUP};

/// Groups of a step, whose products are summed in [`CHAINS`] sums: in one, each addition would wait for the one before.
const STEP: usize = 8;
/// Sums of products.
const CHAINS: usize = 4;
/// How far ahead memory is fetched. What the processor fetches by itself ends with a page.
pub const AHEAD: usize = 6144;

/// What the products of a row are summed in.
pub struct Sums<L: Lanes> {
    /// To be added up over lanes and chains.
    products: [L::Float; CHAINS],
    /// The same in all lanes.
    pub minima: L::Float,
    /// To be added up and taken away.
    pub less: <L::Eight as Lanes>::Float,
}

impl<L: Lanes> Sums<L> {
    /// # Safety
    /// `L`'s instructions are there.
    #[inline(always)]
    unsafe fn new() -> Self {
        Self { products: [L::zero_float(); CHAINS], minima: L::zero_float(), less: L::Eight::zero_float() }
    }

    /// Adds `w x scale` in the chain of number `chain`.
    ///
    /// # Safety
    /// `x` has a group, and `L`'s instructions are there.
    #[inline(always)]
    pub unsafe fn add(&mut self, chain: usize, w: L::Group, x: *const i16, scale: L::Float) {
        let sum = &mut self.products[chain % CHAINS];
        *sum = L::mul_add(L::dot_groups(w, L::load_group(x)), scale, *sum);
    }

    /// # Safety
    /// `L`'s instructions are there.
    #[inline(always)]
    unsafe fn total(self) -> f32 {
        let [a, b, c, d] = self.products;
        let one = L::splat_float(1.0);
        let products = L::mul_add(a, one, L::mul_add(b, one, L::mul_add(c, one, d)));
        L::sum(products) + L::first(self.minima) - L::Eight::sum(self.less)
    }
}

/// The dot product of each of the rows that `bytes` holds with the one row of `x`. One after the other: several at a time leave the order in which
/// memory is fetched ahead, and take twice as long.
///
/// # Safety
/// `L`'s instructions are there.
#[inline(always)]
pub unsafe fn multiply<L: Lanes, F: Format>(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    let blocks = x.scales.len() / F::GROUPS;
    let step = STEP / F::GROUPS;
    for (row, out) in bytes.chunks_exact(blocks * F::BYTES).zip(out) {
        let mut sums = Sums::<L>::new();
        let mut block = row.as_ptr();
        let mut x = Token { values: x.values.as_ptr(), scales: x.scales.as_ptr(), sums: x.sums.as_ptr() };
        // SAFETY: `x` has as many groups as the row.
        for _ in 0..blocks / step {
            for line in (0..step * F::BYTES).step_by(64) {
                L::prefetch(block.wrapping_add(AHEAD + line));
            }
            for i in 0..step {
                F::dot::<L>(block.add(i * F::BYTES), x.from(i * F::GROUPS), i, &mut sums);
            }
            block = block.add(step * F::BYTES);
            x = x.from(STEP);
        }
        for i in 0..blocks % step {
            F::dot::<L>(block.add(i * F::BYTES), x.from(i * F::GROUPS), 0, &mut sums);
        }
        *out = sums.total();
    }
}

impl Token {
    /// What begins `groups` groups later.
    ///
    /// # Safety
    /// There are as many.
    #[inline(always)]
    unsafe fn from(self, groups: usize) -> Self {
        Self { values: self.values.add(groups * GROUP), scales: self.scales.add(groups), sums: self.sums.add(groups) }
    }
}
