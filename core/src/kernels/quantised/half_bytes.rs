//! Rows of half bytes times one token with vectors of 256 bits: half bytes become 16-bit integers where they lie, and the scales of eight groups are
//! read together. Widened one by one and a scale at a time, as [`super::row`] does it, a third more instructions would be needed than memory allows for.

use std::arch::x86_64::*;

use super::format::q4k_groups;
use super::rounded::Rounded;
use super::row::AHEAD;
use crate::kernels::lanes::{Avx2, Lanes, RowLanes, GROUP};
use crate::kernels::WeightType;

/// Groups whose scales are read together.
const EIGHT: usize = 8;

/// Whether [`multiply`] takes weights of `kind`.
pub fn takes(kind: WeightType) -> bool {
    matches!(kind, WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q4K)
}

/// Lays out `values` as [`multiply`] reads them: of each group the even columns, then the odd ones.
pub fn cross(values: &[i16], crossed: &mut Vec<i16>) {
    crossed.resize(values.len(), 0);
    for (values, crossed) in values.chunks_exact(GROUP).zip(crossed.chunks_exact_mut(GROUP)) {
        let (even, odd) = crossed.split_at_mut(GROUP / 2);
        for ((pair, even), odd) in values.chunks_exact(2).zip(even).zip(odd) {
            (*even, *odd) = (pair[0], pair[1]);
        }
    }
}

/// The dot product of each of the rows that `bytes` holds with the one row of `x`. Leaves `out` as it is where the type is none that it [`takes`].
///
/// # Safety
/// The instructions are there; `x` has as many groups as a row, and is crossed.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn multiply(kind: WeightType, bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    debug_assert!(x.crossed.len() == x.scales.len() * GROUP && x.sums.len() == x.scales.len());
    match kind {
        WeightType::Q4_0 => by_group::<{ WeightType::Q4_0.block_bytes() }, 2>(bytes, x, out),
        WeightType::Q4_1 => by_group::<{ WeightType::Q4_1.block_bytes() }, 4>(bytes, x, out),
        WeightType::Q4K => by_block(bytes, x, out),
        _ => (),
    }
}

/// The sums of a row.
struct Sums {
    /// Of products, in chains: in one, each addition would wait for the one before.
    products: [__m256; 4],
    minima: __m256,
}

impl Sums {
    #[inline(always)]
    unsafe fn new() -> Self {
        Self { products: [_mm256_setzero_ps(); 4], minima: _mm256_setzero_ps() }
    }

    /// Adds the products of even columns and of odd ones with the group at `x`.
    #[inline(always)]
    unsafe fn add(&mut self, chain: usize, even: __m256i, odd: __m256i, x: *const i16, factor: &f32) {
        let even = _mm256_madd_epi16(even, _mm256_loadu_si256(x.cast()));
        let odd = _mm256_madd_epi16(odd, _mm256_loadu_si256(x.add(GROUP / 2).cast()));
        let sum = _mm256_cvtepi32_ps(_mm256_add_epi32(even, odd));
        self.products[chain % 4] = _mm256_fmadd_ps(sum, _mm256_broadcast_ss(factor), self.products[chain % 4]);
    }

    #[inline(always)]
    unsafe fn total(self) -> f32 {
        let [a, b, c, d] = self.products;
        let products = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
        Avx2::sum(_mm256_add_ps(products, self.minima))
    }
}

/// Blocks of a group each: a scale, a minimum too where the half bytes begin `AT` 4, and 16 bytes.
#[inline(always)]
unsafe fn by_group<const BYTES: usize, const AT: usize>(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    let groups = x.scales.len();
    // What is missing from the last eight counts for nothing.
    let (mut last_scales, mut last_sums) = ([0f32; EIGHT], [0f32; EIGHT]);
    let (whole, rest) = (groups / EIGHT, groups % EIGHT);
    last_scales[..rest].copy_from_slice(&x.scales[whole * EIGHT..]);
    last_sums[..rest].copy_from_slice(&x.sums[whole * EIGHT..]);
    for (row, out) in bytes.chunks_exact(groups * BYTES).zip(out) {
        let mut sums = Sums::new();
        let mut values = x.crossed.as_ptr();
        let eights = row.chunks_exact(EIGHT * BYTES);
        let last = eights.remainder();
        for ((blocks, scales), sums_of_x) in eights.zip(x.scales.chunks_exact(EIGHT)).zip(x.sums.chunks_exact(EIGHT)) {
            for line in (0..EIGHT * BYTES).step_by(64) {
                Avx2::prefetch(blocks.as_ptr().wrapping_add(AHEAD + line));
            }
            eight::<BYTES, AT>(blocks, EIGHT, values, scales, sums_of_x, &mut sums);
            values = values.add(EIGHT * GROUP);
        }
        eight::<BYTES, AT>(last, rest, values, &last_scales, &last_sums, &mut sums);
        *out = sums.total();
    }
}

/// Up to eight blocks.
///
/// # Safety
/// `blocks` has `count` of them, at `values` there are as many groups; scales and sums are those of eight.
#[inline(always)]
unsafe fn eight<const BYTES: usize, const AT: usize>(
    blocks: &[u8],
    count: usize,
    values: *const i16,
    scales: &[f32],
    sums_of_x: &[f32],
    sums: &mut Sums,
) {
    debug_assert!(blocks.len() == count * BYTES && count <= EIGHT);
    // Put together in registers: through memory, eight narrow stores would have to end before the wide load begins.
    let head = |index: usize| {
        if index < count {
            blocks.as_ptr().add(index * BYTES).cast::<i32>().read_unaligned()
        } else {
            0
        }
    };
    let heads = _mm256_setr_epi32(head(0), head(1), head(2), head(3), head(4), head(5), head(6), head(7));
    let (scale, minimum) = Avx2::halves(heads);
    let minimum = if AT == 4 { minimum } else { _mm256_mul_ps(scale, _mm256_set1_ps(-8.0)) };
    sums.minima = _mm256_fmadd_ps(minimum, _mm256_loadu_ps(sums_of_x.as_ptr()), sums.minima);
    let mut factors = [0f32; EIGHT];
    _mm256_storeu_ps(factors.as_mut_ptr(), _mm256_mul_ps(scale, _mm256_loadu_ps(scales.as_ptr())));
    let low = _mm256_set1_epi16(15);
    // The low half bytes are the first 16 columns, the high ones the others.
    let shift = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4);
    for (index, factor) in factors.iter().enumerate().take(count) {
        let packed = _mm_loadu_si128(blocks.as_ptr().add(index * BYTES + AT).cast());
        let packed = _mm256_srlv_epi32(_mm256_broadcastsi128_si256(packed), shift);
        let (even, odd) = (_mm256_and_si256(packed, low), _mm256_and_si256(_mm256_srli_epi16::<8>(packed), low));
        sums.add(index, even, odd, values.add(index * GROUP), factor);
    }
}

/// Q4_K, whose blocks are eight groups.
#[inline(always)]
unsafe fn by_block(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    const BYTES: usize = WeightType::Q4K.block_bytes();
    let low = _mm256_set1_epi16(15);
    let blocks = x.scales.len() / EIGHT;
    for (row, out) in bytes.chunks_exact(blocks * BYTES).zip(out) {
        let mut sums = Sums::new();
        let mut values = x.crossed.as_ptr();
        for ((block, scales), sums_of_x) in
            row.chunks_exact(BYTES).zip(x.scales.chunks_exact(EIGHT)).zip(x.sums.chunks_exact(EIGHT))
        {
            let block = block.as_ptr();
            for line in (0..BYTES).step_by(64) {
                Avx2::prefetch(block.wrapping_add(AHEAD + line));
            }
            let (group_scales, group_minima) = q4k_groups(block.add(4).cast::<[u8; 12]>().read_unaligned());
            let (scale, minimum) = Avx2::splat_halves(block);
            let scale = _mm256_mul_ps(scale, _mm256_loadu_ps(scales.as_ptr()));
            let mut factors = [0f32; EIGHT];
            _mm256_storeu_ps(factors.as_mut_ptr(), _mm256_mul_ps(Avx2::bytes_to_float(group_scales), scale));
            let minimum = _mm256_mul_ps(Avx2::bytes_to_float(group_minima), minimum);
            sums.minima = _mm256_fnmadd_ps(minimum, _mm256_loadu_ps(sums_of_x.as_ptr()), sums.minima);
            for pair in 0..EIGHT / 2 {
                let packed = _mm256_loadu_si256(block.add(16 + pair * GROUP).cast());
                let first = values.add(2 * pair * GROUP);
                let (even, odd) = (_mm256_and_si256(packed, low), _mm256_srli_epi16::<8>(packed));
                sums.add(2 * pair, even, _mm256_and_si256(odd, low), first, &factors[2 * pair]);
                let (even, odd) = (_mm256_srli_epi16::<4>(packed), _mm256_srli_epi16::<12>(packed));
                sums.add(2 * pair + 1, _mm256_and_si256(even, low), odd, first.add(GROUP), &factors[2 * pair + 1]);
            }
            values = values.add(EIGHT * GROUP);
        }
        *out = sums.total();
    }
}
