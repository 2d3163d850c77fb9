//! Dot products of packed weight rows with f32 activations, for AVX2, FMA and F16C.
//!
//! All loads are unaligned and stay inside the slice that the loop's iterator hands out.

use std::arch::x86_64::*;

use super::blocks::{self, chunks, WeightType};

/// The sum of the eight lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn sum8(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The two halves at the head of a block, in the two lowest lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn two_halves(block: &[u8]) -> __m128 {
    let bits = i32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    _mm_cvtph_ps(_mm_cvtsi32_si128(bits))
}

/// Lanes `8 i .. 8 i + 8` of 16 unsigned bytes times the activations at `x`.
macro_rules! low8 {
    ($bytes:expr) => {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32($bytes))
    };
}
macro_rules! high8 {
    ($bytes:expr) => {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>($bytes)))
    };
}

/// Sum over a block's 32 unsigned 4-bit values of value times activation, in eight lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn nibble_products(packed: &[u8; 16], x: &[f32; 32]) -> __m256 {
    let mask = _mm_set1_epi8(15);
    let p = x.as_ptr();
    // SAFETY: `packed` is 16 bytes, and `p` points at 32 floats, of which offsets 0, 8, 16 and 24 start eight each.
    let (packed, x0, x1, x2, x3) = unsafe {
        (
            _mm_loadu_si128(packed.as_ptr().cast()),
            _mm256_loadu_ps(p),
            _mm256_loadu_ps(p.add(8)),
            _mm256_loadu_ps(p.add(16)),
            _mm256_loadu_ps(p.add(24)),
        )
    };
    let low = _mm_and_si128(packed, mask);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), mask);
    let a = _mm256_fmadd_ps(high8!(low), x1, _mm256_mul_ps(low8!(low), x0));
    let b = _mm256_fmadd_ps(high8!(high), x3, _mm256_mul_ps(low8!(high), x2));
    _mm256_add_ps(a, b)
}

/// A row of Q4_1 blocks times `x`; `sums[i]` is the sum of activations `32 i .. 32 i + 32`.
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_q4_1(row: &[u8], x: &[f32], sums: &[f32]) -> f32 {
    let mut total = _mm256_setzero_ps();
    let mut offset = _mm_setzero_ps();
    for ((block, x), &sum) in chunks::<20, _>(row).zip(chunks::<32, _>(x)).zip(sums) {
        let scales = two_halves(block);
        let (_, packed) = block.split_at(4);
        let Some(packed) = packed.first_chunk::<16>() else { continue };
        total = _mm256_fmadd_ps(_mm256_broadcastss_ps(scales), nibble_products(packed, x), total);
        offset = _mm_fmadd_ss(_mm_movehdup_ps(scales), _mm_set_ss(sum), offset);
    }
    sum8(total) + _mm_cvtss_f32(offset)
}

/// A row of Q4_0 blocks times `x`; the values' offset of 8 is taken out through `sums`.
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_q4_0(row: &[u8], x: &[f32], sums: &[f32]) -> f32 {
    let mut total = _mm256_setzero_ps();
    let mut offset = _mm_setzero_ps();
    for ((block, x), &sum) in chunks::<18, _>(row).zip(chunks::<32, _>(x)).zip(sums) {
        let scale = two_halves(block);
        let (_, packed) = block.split_at(2);
        let Some(packed) = packed.first_chunk::<16>() else { continue };
        total = _mm256_fmadd_ps(_mm256_broadcastss_ps(scale), nibble_products(packed, x), total);
        offset = _mm_fmadd_ss(scale, _mm_set_ss(sum), offset);
    }
    sum8(total) - 8.0 * _mm_cvtss_f32(offset)
}

/// A row of Q8_0 blocks times `x`.
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_q8_0(row: &[u8], x: &[f32]) -> f32 {
    let mut total = _mm256_setzero_ps();
    for (block, x) in chunks::<34, _>(row).zip(chunks::<32, _>(x)) {
        let scale = _mm256_broadcastss_ps(two_halves(block));
        let (q, p) = (block[2..].as_ptr(), x.as_ptr());
        // SAFETY: `q` points at the block's 32 values and `p` at 32 floats; each load takes 8 of them at offsets 0, 8,
        // 16 and 24.
        let (q0, q1, q2, q3, x0, x1, x2, x3) = unsafe {
            (
                _mm_loadl_epi64(q.cast()),
                _mm_loadl_epi64(q.add(8).cast()),
                _mm_loadl_epi64(q.add(16).cast()),
                _mm_loadl_epi64(q.add(24).cast()),
                _mm256_loadu_ps(p),
                _mm256_loadu_ps(p.add(8)),
                _mm256_loadu_ps(p.add(16)),
                _mm256_loadu_ps(p.add(24)),
            )
        };
        let a = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q0)), x0);
        let a = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q1)), x1, a);
        let b = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q2)), x2);
        let b = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q3)), x3, b);
        total = _mm256_fmadd_ps(scale, _mm256_add_ps(a, b), total);
    }
    sum8(total)
}

/// A row of Q4_K blocks times `x`; `sums` as in [`dot_q4_1`].
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_q4_k(row: &[u8], x: &[f32], sums: &[f32]) -> f32 {
    let mask = _mm_set1_epi8(15);
    let mut total = _mm256_setzero_ps();
    let mut offset = 0.0;
    for ((block, x), sums) in chunks::<144, _>(row).zip(chunks::<256, _>(x)).zip(chunks::<8, _>(sums)) {
        let (d, dmin) = (blocks::half([block[0], block[1]]), blocks::half([block[2], block[3]]));
        let (scales, quants) = block[4..].split_at(12);
        let mut minima = 0.0;
        for (pair, (quants, x)) in chunks::<32, _>(quants).zip(chunks::<64, _>(x)).enumerate() {
            // The low halves are one group's 32 values, the high halves the next one's.
            let (mut first, mut second) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            for (packed, at) in chunks::<16, _>(quants).zip([0, 16]) {
                let p = x[at..].as_ptr();
                // SAFETY: `packed` is 16 bytes; `p` points at float `at` (0 or 16) of 64, and the loads take eight floats each
                // at offsets 0, 8, 32 and 40 from it, the last of which ends at `at + 48`.
                let (packed, x0, x1, x2, x3) = unsafe {
                    (
                        _mm_loadu_si128(packed.as_ptr().cast()),
                        _mm256_loadu_ps(p),
                        _mm256_loadu_ps(p.add(8)),
                        _mm256_loadu_ps(p.add(32)),
                        _mm256_loadu_ps(p.add(40)),
                    )
                };
                let low = _mm_and_si128(packed, mask);
                let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), mask);
                first = _mm256_fmadd_ps(high8!(low), x1, _mm256_fmadd_ps(low8!(low), x0, first));
                second = _mm256_fmadd_ps(high8!(high), x3, _mm256_fmadd_ps(low8!(high), x2, second));
            }
            let (scale, minimum) = blocks::q4k_group(scales, 2 * pair);
            total = _mm256_fmadd_ps(_mm256_set1_ps(d * f32::from(scale)), first, total);
            minima += f32::from(minimum) * sums[2 * pair];
            let (scale, minimum) = blocks::q4k_group(scales, 2 * pair + 1);
            total = _mm256_fmadd_ps(_mm256_set1_ps(d * f32::from(scale)), second, total);
            minima += f32::from(minimum) * sums[2 * pair + 1];
        }
        offset += dmin * minima;
    }
    sum8(total) - offset
}

/// One packed row times `x`; `None` for the types that have no kernel here.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn dot_packed(kind: WeightType, row: &[u8], x: &[f32], sums: &[f32]) -> Option<f32> {
    Some(match kind {
        WeightType::Q4_0 => dot_q4_0(row, x, sums),
        WeightType::Q4_1 => dot_q4_1(row, x, sums),
        WeightType::Q8_0 => dot_q8_0(row, x),
        WeightType::Q4K => dot_q4_k(row, x, sums),
        _ => return None,
    })
}

/// [`blocks::unpack`], compiled for AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn unpack(kind: WeightType, bytes: &[u8], out: &mut [f32]) {
    blocks::unpack(kind, bytes, out);
}
