//! Weight rows side by side in vectors times a few tokens: each weight is read once, as it lies in the file, and unpacked once, a group at a time.

use std::hint::black_box;

use super::tile::Panel;
use crate::kernels::blocks::WeightType;
use crate::kernels::lanes::{RowLanes, GROUP};

/// Pairs of a group.
const PAIRS: usize = GROUP / 2;
/// The lowest half byte of each 16 bits.
const NIBBLES: i32 = 0x000f_000f;

/// A panel from some group on.
#[derive(Clone, Copy)]
struct At {
    pairs: *const i32,
    scales: *const f32,
    sums: *const f32,
}

impl At {
    #[inline(always)]
    unsafe fn add<const T: usize>(self, groups: usize) -> Self {
        Self {
            pairs: self.pairs.add(groups * PAIRS * T),
            scales: self.scales.add(groups * T),
            sums: self.sums.add(groups * T),
        }
    }
}

/// A group of all rows, unpacked, and the sums of all groups before it.
struct Sums<L: RowLanes, const T: usize> {
    pairs: [L::Int; PAIRS],
    totals: [L::Float; T],
}

impl<L: RowLanes, const T: usize> Sums<L, T> {
    /// Sets four columns of the group, those of quad `quad`, from bytes whose low halves are the values.
    #[inline(always)]
    unsafe fn set_nibbles(&mut self, bytes: L::Int, quad: usize) {
        self.pairs[2 * quad] = L::and(bytes, NIBBLES);
        self.pairs[2 * quad + 1] = L::and(L::shift_right::<8>(bytes), NIBBLES);
    }

    /// Multiplies the group, which has been set, with its part of the panel.
    #[inline(always)]
    unsafe fn multiply(&mut self, scale: L::Float, x: At) {
        let mut sums = [L::zero(); T];
        // From memory: with a whole group and its sums in registers there would be too few, and a sum that lies in memory waits ten cycles
        // from one addition to the next.
        let pairs = black_box(&self.pairs);
        for (pair, w) in pairs.iter().enumerate() {
            for (token, sum) in sums.iter_mut().enumerate() {
                *sum = L::dot_pairs(*sum, *w, L::splat(x.pairs.add(pair * T + token).cast()));
            }
        }
        for (token, (sum, total)) in sums.into_iter().zip(&mut self.totals).enumerate() {
            let scale = L::mul(scale, L::splat_float(*x.scales.add(token)));
            *total = L::mul_add(L::to_float(sum), scale, *total);
        }
    }

    #[inline(always)]
    unsafe fn add_minimum(&mut self, minimum: L::Float, x: At) {
        for (token, total) in self.totals.iter_mut().enumerate() {
            *total = L::mul_add(minimum, L::splat_float(*x.sums.add(token)), *total);
        }
    }
}

/// How one block of each of `L::N` rows that lie `stride` bytes apart is multiplied.
pub trait RowFormat {
    const KIND: WeightType;

    /// Adds the block's products to `sums`.
    ///
    /// # Safety
    /// The rows have the block, the panel its groups, and `L`'s instructions are there.
    #[allow(private_interfaces)]
    unsafe fn add<L: RowLanes, const T: usize>(block: *const u8, stride: usize, x: At, sums: &mut Sums<L, T>);
}

#[inline(always)]
unsafe fn set_sixteen_bytes<L: RowLanes, const T: usize>(bytes: *const u8, stride: usize, sums: &mut Sums<L, T>) {
    for (quad, bytes) in L::columns(bytes, stride).into_iter().enumerate() {
        sums.set_nibbles(bytes, quad);
        sums.set_nibbles(L::shift_right::<4>(bytes), 4 + quad);
    }
}

pub struct Q4_0;
#[allow(private_interfaces)]
impl RowFormat for Q4_0 {
    const KIND: WeightType = WeightType::Q4_0;
    #[inline(always)]
    unsafe fn add<L: RowLanes, const T: usize>(block: *const u8, stride: usize, x: At, sums: &mut Sums<L, T>) {
        set_sixteen_bytes(block.add(2), stride, sums);
        let (scale, _) = L::halves(L::first_column(block, stride));
        sums.multiply(scale, x);
        sums.add_minimum(L::mul(scale, L::splat_float(-8.0)), x);
    }
}

pub struct Q4_1;
#[allow(private_interfaces)]
impl RowFormat for Q4_1 {
    const KIND: WeightType = WeightType::Q4_1;
    #[inline(always)]
    unsafe fn add<L: RowLanes, const T: usize>(block: *const u8, stride: usize, x: At, sums: &mut Sums<L, T>) {
        set_sixteen_bytes(block.add(4), stride, sums);
        let (scale, minimum) = L::halves(L::first_column(block, stride));
        sums.multiply(scale, x);
        sums.add_minimum(minimum, x);
    }
}

pub struct Q8_0;
#[allow(private_interfaces)]
impl RowFormat for Q8_0 {
    const KIND: WeightType = WeightType::Q8_0;
    #[inline(always)]
    unsafe fn add<L: RowLanes, const T: usize>(block: *const u8, stride: usize, x: At, sums: &mut Sums<L, T>) {
        for half in 0..2 {
            for (quad, bytes) in L::columns(block.add(2 + 16 * half), stride).into_iter().enumerate() {
                let quad = 4 * half + quad;
                (sums.pairs[2 * quad], sums.pairs[2 * quad + 1]) = L::widen(bytes);
            }
        }
        let (scale, _) = L::halves(L::first_column(block, stride));
        sums.multiply(scale, x);
    }
}

pub struct Q4K;
#[allow(private_interfaces)]
impl RowFormat for Q4K {
    const KIND: WeightType = WeightType::Q4K;
    #[inline(always)]
    unsafe fn add<L: RowLanes, const T: usize>(block: *const u8, stride: usize, x: At, sums: &mut Sums<L, T>) {
        let [head, scales, minima, mixed] = L::columns(block, stride);
        let (scale, minimum) = L::halves(head);
        let minimum = L::mul(minimum, L::splat_float(-1.0));
        // Six bits each: the first four groups have theirs in the low bits of a byte, the others four bits in `mixed` and two on top of the former.
        const SIX: i32 = 0x3f3f_3f3f;
        const FOUR: i32 = 0x0f0f_0f0f;
        const TWO: i32 = 0x3030_3030;
        let high_scales = L::or(L::and(mixed, FOUR), L::and(L::shift_right::<2>(scales), TWO));
        let high_minima = L::or(L::and(L::shift_right::<4>(mixed), FOUR), L::and(L::shift_right::<2>(minima), TWO));
        let scales = [L::and(scales, SIX), high_scales];
        let minima = [L::and(minima, SIX), high_minima];
        for half in 0..2 {
            let (mut scales, mut minima) = (scales[half], minima[half]);
            for pair in 0..2 {
                let pair = 2 * half + pair;
                let bytes = block.add(16 + pair * GROUP);
                let columns = [L::columns(bytes, stride), L::columns(bytes.add(16), stride)];
                for high in 0..2 {
                    let x = x.add::<T>(2 * pair + high);
                    for (part, columns) in columns.into_iter().enumerate() {
                        for (quad, bytes) in columns.into_iter().enumerate() {
                            let bytes = if high == 1 { L::shift_right::<4>(bytes) } else { bytes };
                            sums.set_nibbles(bytes, 4 * part + quad);
                        }
                    }
                    sums.multiply(L::mul(scale, L::to_float(L::and(scales, 0xff))), x);
                    sums.add_minimum(L::mul(minimum, L::to_float(L::and(minima, 0xff))), x);
                    (scales, minima) = (L::shift_right::<8>(scales), L::shift_right::<8>(minima));
                }
            }
        }
    }
}

/// `out[token][row]` for `L::N` rows that follow each other in `rows` and the `T` tokens of a panel, whose quads of columns are in the order
/// 0, 2, 1, 3.
///
/// # Safety
/// `L`'s instructions are there; `rows` has `L::N` rows of `groups` groups, and `panel` as many of `T` tokens.
#[inline(always)]
pub unsafe fn multiply<L: RowLanes, F: RowFormat, const T: usize>(
    rows: &[u8],
    groups: usize,
    panel: Panel<'_>,
) -> [L::Float; T] {
    let block_groups = F::KIND.block_len() / GROUP;
    let blocks = groups / block_groups;
    let stride = blocks * F::KIND.block_bytes();
    debug_assert!(rows.len() >= L::N * stride && panel.scales.len() >= groups * T);
    let mut sums = Sums::<L, T> { pairs: [L::zero(); PAIRS], totals: [L::zero_float(); T] };
    let mut x = At { pairs: panel.pairs.as_ptr(), scales: panel.scales.as_ptr(), sums: panel.sums.as_ptr() };
    let mut fetched = 0;
    for block in 0..blocks {
        let at = rows.as_ptr().add(block * F::KIND.block_bytes());
        // The rows after these, at the same place: so many at once are more than the processor fetches ahead by itself.
        while fetched < (block + 1) * F::KIND.block_bytes() {
            for row in 0..L::N {
                L::prefetch(rows.as_ptr().wrapping_add((L::N + row) * stride + fetched));
            }
            fetched += 64;
        }
        F::add::<L, T>(at, stride, x, &mut sums);
        x = x.add::<T>(block_groups);
    }
    sums.totals
}
