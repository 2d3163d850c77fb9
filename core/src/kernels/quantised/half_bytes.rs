//! Rows of half bytes times one token with vectors of 256 bits: half bytes become 16-bit integers where they lie, the scales of eight groups are
//! read together, and four rows are multiplied side by side. Widened one by one and a scale at a time, as [`super::row`] does it, more instructions
//! would be needed than memory allows for; and a row of a small model alone would take as long to begin and to end as to be multiplied.

#![allow(clippy::needless_range_loop, reason = "zipped iterators over rows keep in memory what has room in registers")]

use std::arch::x86_64::*;

use super::format::q4k_groups;
use super::rounded::Rounded;
use super::row::AHEAD;
use crate::kernels::lanes::{Avx2, Lanes, RowLanes, GROUP};
use crate::kernels::WeightType;

/// Groups whose scales are read together.
const EIGHT: usize = 8;
/// Rows that are multiplied side by side.
const ROWS: usize = 4;

/// Whether [`multiply`] takes weights of `kind`.
pub fn takes(kind: WeightType) -> bool {
    matches!(kind, WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q4K)
}

/// Lays out `values` as [`multiply`] reads them: of each group the even columns, then the odd ones.
///
/// # Safety
/// The instructions are there.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn cross(values: &[i16], crossed: &mut Vec<i16>) {
    crossed.resize(values.len(), 0);
    // Of each eight values the even ones, then the odd ones.
    let apart = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    for (values, crossed) in values.chunks_exact(GROUP).zip(crossed.chunks_exact_mut(GROUP)) {
        let [first, second] = group(values.as_ptr())
            .map(|half| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(half, apart)));
        let (even, odd) = (crossed.as_mut_ptr().cast(), crossed.as_mut_ptr().add(GROUP / 2).cast());
        _mm256_storeu_si256(even, _mm256_permute2x128_si256::<0x20>(first, second));
        _mm256_storeu_si256(odd, _mm256_permute2x128_si256::<0x31>(first, second));
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

/// Some rows' sums: each row's are in a chain of their own, so that none waits for the addition before.
struct Sums {
    products: [__m256; ROWS],
    minima: [__m256; ROWS],
}

impl Sums {
    #[inline(always)]
    unsafe fn new() -> Self {
        Self { products: [_mm256_setzero_ps(); ROWS], minima: [_mm256_setzero_ps(); ROWS] }
    }

    #[inline(always)]
    unsafe fn totals(self) -> [f32; ROWS] {
        let mut totals = [0f32; ROWS];
        for ((total, products), minima) in totals.iter_mut().zip(self.products).zip(self.minima) {
            *total = Avx2::sum(_mm256_add_ps(products, minima));
        }
        totals
    }
}

/// `sum` and the products of even columns and of odd ones with those of a group.
#[inline(always)]
unsafe fn add(sum: __m256, even: __m256i, odd: __m256i, group: [__m256i; 2], factor: &f32) -> __m256 {
    let products = _mm256_add_epi32(_mm256_madd_epi16(even, group[0]), _mm256_madd_epi16(odd, group[1]));
    _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_broadcast_ss(factor), sum)
}

/// Even and odd columns of the group of a crossed row at `x`.
#[inline(always)]
unsafe fn group(x: *const i16) -> [__m256i; 2] {
    [_mm256_loadu_si256(x.cast()), _mm256_loadu_si256(x.add(GROUP / 2).cast())]
}

/// How far ahead of a row memory is fetched: at least [`AHEAD`], and to the same place of some later row that is multiplied with as many others. So all that is
/// to be fetched is so once, and equally early.
#[inline(always)]
fn ahead(row_bytes: usize) -> usize {
    AHEAD.next_multiple_of((ROWS * row_bytes).max(1))
}

/// [`ROWS`] rows of `row_bytes` from the first of `rows` on. Behind the last row it is taken again.
#[inline(always)]
fn rows_of(rows: &[u8], row_bytes: usize) -> [&[u8]; ROWS] {
    let last = (rows.len() / row_bytes).max(1) - 1;
    std::array::from_fn(|row| &rows[row.min(last) * row_bytes..][..row_bytes])
}

/// Blocks of a group each: a scale, a minimum too where the half bytes begin at byte 4, and 16 bytes.
#[inline(always)]
unsafe fn by_group<const BYTES: usize, const AT: usize>(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    let groups = x.scales.len();
    // What is missing from the last eight counts for nothing.
    let (mut last_scales, mut last_sums) = ([0f32; EIGHT], [0f32; EIGHT]);
    let (whole, rest) = (groups / EIGHT, groups % EIGHT);
    last_scales[..rest].copy_from_slice(&x.scales[whole * EIGHT..]);
    last_sums[..rest].copy_from_slice(&x.sums[whole * EIGHT..]);
    let row_bytes = groups * BYTES;
    let ahead = ahead(row_bytes);
    // Products of high half bytes are 16 times as large as they are to be.
    let shares = _mm256_setr_m128(_mm_set1_ps(1.0), _mm_set1_ps(1.0 / 16.0));
    for (rows, out) in bytes.chunks(ROWS * row_bytes).zip(out.chunks_mut(ROWS)) {
        let mut rows = rows_of(rows, row_bytes).map(|row| row.as_ptr());
        let mut sums = Sums::new();
        let mut values = x.crossed.as_ptr();
        for (scales, sums_of_x) in x.scales.chunks_exact(EIGHT).zip(x.sums.chunks_exact(EIGHT)) {
            eight::<BYTES, AT>(rows, EIGHT, ahead, values, scales, sums_of_x, &mut sums);
            values = values.add(EIGHT * GROUP);
            for row in &mut rows {
                *row = row.add(EIGHT * BYTES);
            }
        }
        if rest > 0 {
            eight::<BYTES, AT>(rows, rest, ahead, values, &last_scales, &last_sums, &mut sums);
        }
        sums.products = sums.products.map(|products| _mm256_mul_ps(products, shares));
        out.copy_from_slice(&sums.totals()[..out.len()]);
    }
}

/// Up to eight blocks of each row; as many are fetched `ahead` bytes later.
///
/// # Safety
/// At each of `rows` there are `count` blocks, at `values` as many groups; scales and sums are those of eight.
#[inline(always)]
unsafe fn eight<const BYTES: usize, const AT: usize>(
    rows: [*const u8; ROWS],
    count: usize,
    ahead: usize,
    values: *const i16,
    scales: &[f32],
    sums_of_x: &[f32],
    sums: &mut Sums,
) {
    debug_assert!(count <= EIGHT);
    let (mut factors, scales) = ([[0f32; EIGHT]; ROWS], _mm256_loadu_ps(scales.as_ptr()));
    let sums_of_x = _mm256_loadu_ps(sums_of_x.as_ptr());
    for row in 0..ROWS {
        for line in (0..count * BYTES).step_by(64) {
            Avx2::prefetch(rows[row].wrapping_add(ahead + line));
        }
        // Put together in registers: through memory, eight narrow stores would have to end before the wide load begins.
        let head = |index: usize| {
            if index < count {
                rows[row].add(index * BYTES).cast::<i32>().read_unaligned()
            } else {
                0
            }
        };
        let heads = _mm256_setr_epi32(head(0), head(1), head(2), head(3), head(4), head(5), head(6), head(7));
        let (scale, minimum) = Avx2::halves(heads);
        let minimum = if AT == 4 { minimum } else { _mm256_mul_ps(scale, _mm256_set1_ps(-8.0)) };
        sums.minima[row] = _mm256_fmadd_ps(minimum, sums_of_x, sums.minima[row]);
        _mm256_storeu_ps(factors[row].as_mut_ptr(), _mm256_mul_ps(scale, scales));
    }
    // The low half bytes are the first 16 columns, the high ones the others, and stay where they are: 16 times as large.
    let halves = _mm256_setr_m128i(_mm_set1_epi16(0x0f), _mm_set1_epi16(0xf0));
    // A copy, which stays in registers.
    let mut products = sums.products;
    for index in 0..count {
        let group = group(values.add(index * GROUP));
        for row in 0..ROWS {
            let packed = _mm_loadu_si128(rows[row].add(index * BYTES + AT).cast());
            let packed = _mm256_broadcastsi128_si256(packed);
            let (even, odd) =
                (_mm256_and_si256(packed, halves), _mm256_and_si256(_mm256_srli_epi16::<8>(packed), halves));
            products[row] = add(products[row], even, odd, group, &factors[row][index]);
        }
    }
    sums.products = products;
}

/// Q4_K, whose blocks are eight groups.
#[inline(always)]
unsafe fn by_block(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    const BYTES: usize = WeightType::Q4K.block_bytes();
    let (low, high) = (_mm256_set1_epi16(0x0f), _mm256_set1_epi16(0xf0));
    // High half bytes stay where they are: their products are 16 times as large as they are to be.
    let shares = _mm256_setr_ps(1.0, 1.0 / 16.0, 1.0, 1.0 / 16.0, 1.0, 1.0 / 16.0, 1.0, 1.0 / 16.0);
    let row_bytes = x.scales.len() / EIGHT * BYTES;
    let ahead = ahead(row_bytes);
    for (rows, out) in bytes.chunks(ROWS * row_bytes).zip(out.chunks_mut(ROWS)) {
        let mut rows = rows_of(rows, row_bytes).map(|row| row.as_ptr());
        let mut sums = Sums::new();
        let mut values = x.crossed.as_ptr();
        for (scales, sums_of_x) in x.scales.chunks_exact(EIGHT).zip(x.sums.chunks_exact(EIGHT)) {
            let mut factors = [[0f32; EIGHT]; ROWS];
            let (scales, sums_of_x) = (_mm256_loadu_ps(scales.as_ptr()), _mm256_loadu_ps(sums_of_x.as_ptr()));
            let scales = _mm256_mul_ps(scales, shares);
            for row in 0..ROWS {
                let block = rows[row];
                let (group_scales, group_minima) = q4k_groups(block.add(4).cast::<[u8; 12]>().read_unaligned());
                let (scale, minimum) = Avx2::splat_halves(block);
                let scale = _mm256_mul_ps(scale, scales);
                _mm256_storeu_ps(factors[row].as_mut_ptr(), _mm256_mul_ps(Avx2::bytes_to_float(group_scales), scale));
                let minimum = _mm256_mul_ps(Avx2::bytes_to_float(group_minima), minimum);
                sums.minima[row] = _mm256_fnmadd_ps(minimum, sums_of_x, sums.minima[row]);
            }
            // A copy, which stays in registers.
            let mut products = sums.products;
            for pair in 0..EIGHT / 2 {
                let (first, second) = (group(values), group(values.add(GROUP)));
                for line in (0..BYTES).step_by(64) {
                    Avx2::prefetch(rows[pair].wrapping_add(ahead + line));
                }
                for row in 0..ROWS {
                    let packed = _mm256_loadu_si256(rows[row].add(16 + pair * GROUP).cast());
                    let odd = _mm256_srli_epi16::<8>(packed);
                    let part = |mask| (_mm256_and_si256(packed, mask), _mm256_and_si256(odd, mask));
                    let (even, odd) = part(low);
                    let sum = add(products[row], even, odd, first, &factors[row][2 * pair]);
                    let (even, odd) = part(high);
                    products[row] = add(sum, even, odd, second, &factors[row][2 * pair + 1]);
                }
                values = values.add(2 * GROUP);
            }
            sums.products = products;
            for row in &mut rows {
                *row = row.add(BYTES);
            }
        }
        out.copy_from_slice(&sums.totals()[..out.len()]);
    }
}
