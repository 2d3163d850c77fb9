//! One weight row times one token: weights are read once, as they lie in the file.

use super::format::Format;
use super::rounded::Rounded;
use crate::kernels::lanes::{Lanes, GROUP};

/// The dot product of each of the rows that `bytes` holds with the one row of `x`. One after the other: several at a time leave the order in which
/// memory is fetched ahead, and take twice as long.
///
/// # Safety
/// `L`'s instructions are there.
#[inline(always)]
pub unsafe fn multiply<L: Lanes, F: Format>(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    let blocks = x.scales.len() / F::GROUPS;
    for (row, out) in bytes.chunks_exact(blocks * F::BYTES).zip(out) {
        let mut total = L::zero_float();
        let mut rest = 0f32;
        for (block, bytes) in row.chunks_exact(F::BYTES).enumerate() {
            for group in 0..F::GROUPS {
                let at = block * F::GROUPS + group;
                // SAFETY: `x` has as many groups as a row.
                let values = L::load_group(x.values.as_ptr().add(at * GROUP));
                let (x_scale, x_sum) = (*x.scales.as_ptr().add(at), *x.sums.as_ptr().add(at));
                let (w, scale, minimum) = F::group::<L>(bytes.as_ptr(), group);
                total = L::mul_add(L::dot_groups(w, values), L::splat_float(scale * x_scale), total);
                rest += minimum * x_sum;
            }
        }
        *out = L::sum(total) + rest;
    }
}
