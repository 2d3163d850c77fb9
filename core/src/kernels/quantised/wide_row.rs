//! Q4_K rows times one token with vectors of 512 bits: 64 bytes of a block at a time, whose half bytes become 16-bit integers where they lie.
//! Widened group by group, as [`super::row`] does it, they would take a third more instructions, and memory would have to wait.

use std::arch::x86_64::*;

use super::format::q4k_groups;
use super::rounded::Rounded;
use super::row::AHEAD;
use crate::kernels::lanes::{dot_pairs_16, GROUP};
use crate::kernels::WeightType;

/// Bytes of a block.
const BYTES: usize = WeightType::Q4K.block_bytes();
/// Groups of a block.
const GROUPS: usize = WeightType::Q4K.block_len() / GROUP;
/// Values that 64 bytes of half bytes hold.
const HALF: usize = 4 * GROUP;

/// Lays out `values` as [`multiply`] reads them: of each four groups the even columns of the first and the third, the odd ones, and likewise
/// those of the second and the fourth.
pub fn cross(values: &[i16], crossed: &mut Vec<i16>) {
    crossed.clear();
    for groups in values.chunks_exact(HALF) {
        for first in [0, GROUP] {
            for odd in [0, 1] {
                for from in [first + odd, first + odd + 2 * GROUP] {
                    crossed.extend(groups[from..].iter().step_by(2).take(GROUP / 2));
                }
            }
        }
    }
}

/// The dot product of each of the rows that `bytes` holds with the one row of `x`.
///
/// # Safety
/// The instructions are there; `x` has as many groups as a row, and is crossed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub unsafe fn multiply(bytes: &[u8], x: &Rounded, out: &mut [f32]) {
    let blocks = x.scales.len() / GROUPS;
    debug_assert!(x.crossed.len() == x.scales.len() * GROUP && bytes.len() >= out.len() * blocks * BYTES);
    let low = _mm512_set1_epi16(15);
    // Of the eight factors of a block, that of the lower eight lanes and that of the upper eight.
    let pick = |lower, upper| _mm512_inserti64x4::<1>(_mm512_set1_epi32(lower), _mm256_set1_epi32(upper));
    let picks = [[pick(0, 2), pick(1, 3)], [pick(4, 6), pick(5, 7)]];
    for (row, out) in bytes.chunks_exact(blocks * BYTES).zip(out) {
        let mut sums = [[_mm512_setzero_ps(); 2]; 2];
        let mut less = _mm256_setzero_ps();
        for (block, index) in row.chunks_exact(BYTES).zip(0..) {
            let block = block.as_ptr();
            for line in (0..BYTES).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(block.wrapping_add(AHEAD + line).cast());
            }
            let (scales, minima) = q4k_groups(block.add(4).cast::<[u8; 12]>().read_unaligned());
            let halves = _mm_cvtph_ps(_mm_cvtsi32_si128(block.cast::<i32>().read_unaligned()));
            let (scale, minimum) = (_mm256_broadcastss_ps(halves), _mm256_broadcastss_ps(_mm_movehdup_ps(halves)));
            let to_float =
                |bytes: [u8; 8]| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))));
            let factors = _mm256_mul_ps(
                to_float(scales),
                _mm256_mul_ps(scale, _mm256_loadu_ps(x.scales.as_ptr().add(index * GROUPS))),
            );
            let minima = _mm256_mul_ps(to_float(minima), minimum);
            less = _mm256_fmadd_ps(minima, _mm256_loadu_ps(x.sums.as_ptr().add(index * GROUPS)), less);
            let factors = _mm512_castps256_ps512(factors);
            for half in 0..2 {
                let quants = _mm512_loadu_si512(block.add(16 + 64 * half).cast());
                let values = x.crossed.as_ptr().add(index * GROUPS * GROUP + half * HALF);
                let at = |part: usize| _mm512_loadu_si512(values.add(part * GROUP).cast());
                let shifted = _mm512_srli_epi16::<4>(quants);
                let even = [_mm512_and_si512(quants, low), _mm512_and_si512(shifted, low)];
                let odd = [_mm512_and_si512(_mm512_srli_epi16::<8>(quants), low), _mm512_srli_epi16::<12>(quants)];
                for high in 0..2 {
                    let sum = dot_pairs_16(_mm512_madd_epi16(even[high], at(2 * high)), odd[high], at(2 * high + 1));
                    let factor = _mm512_permutexvar_ps(picks[half][high], factors);
                    sums[half][high] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, sums[half][high]);
                }
            }
        }
        let total = _mm512_add_ps(_mm512_add_ps(sums[0][0], sums[0][1]), _mm512_add_ps(sums[1][0], sums[1][1]));
        *out = _mm512_reduce_add_ps(total) - _mm512_reduce_add_ps(_mm512_zextps256_ps512(less));
    }
}
