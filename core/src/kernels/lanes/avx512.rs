//! AVX-512 with VNNI: 16 lanes.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Lanes, RowLanes};

// The instruction by its name: from the intrinsic compilers make two that take twice as long.

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub unsafe fn dot_pairs_16(mut sum: __m512i, x: __m512i, y: __m512i) -> __m512i {
    asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) sum, in(zmm_reg) x, in(zmm_reg) y, options(pure, nomem, nostack, preserves_flags));
    sum
}

/// 16 bytes: their low halves, then their high halves.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn half_bytes(from: *const u8) -> __m256i {
    let packed = _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast()));
    let shifted = _mm256_srlv_epi64(packed, _mm256_set_epi64x(4, 4, 0, 0));
    _mm256_and_si256(shifted, _mm256_set1_epi8(15))
}

/// 16 lanes. Needs AVX-512 F, BW, VL, VNNI and F16C.
#[derive(Debug, Clone, Copy)]
pub struct Avx512;

// SAFETY: the instructions are those that the type names.
unsafe impl Lanes for Avx512 {
    const N: usize = 16;
    type Int = __m512i;
    type Float = __m512;
    type Group = __m512i;
    type Eight = super::Avx2;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }
    #[inline(always)]
    unsafe fn zero_float() -> __m512 {
        _mm512_setzero_ps()
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m512i {
        _mm512_loadu_si512(from.cast())
    }
    #[inline(always)]
    unsafe fn splat(from: *const i16) -> __m512i {
        _mm512_set1_epi32(from.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: __m512i, x: __m512i, y: __m512i) -> __m512i {
        dot_pairs_16(sum, x, y)
    }
    #[inline(always)]
    unsafe fn to_float(x: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(x)
    }
    #[inline(always)]
    unsafe fn load_float(from: *const f32) -> __m512 {
        _mm512_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn splat_float(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn mul(x: __m512, y: __m512) -> __m512 {
        _mm512_mul_ps(x, y)
    }
    #[inline(always)]
    unsafe fn mul_add(x: __m512, y: __m512, z: __m512) -> __m512 {
        _mm512_fmadd_ps(x, y, z)
    }
    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(x, y)
    }
    #[inline(always)]
    unsafe fn max(x: __m512, y: __m512) -> __m512 {
        _mm512_max_ps(x, y)
    }
    #[inline(always)]
    unsafe fn min(x: __m512, y: __m512) -> __m512 {
        _mm512_min_ps(x, y)
    }
    #[inline(always)]
    unsafe fn store_float(x: __m512, to: *mut f32) {
        _mm512_storeu_ps(to, x);
    }
    #[inline(always)]
    unsafe fn first(x: __m512) -> f32 {
        _mm512_cvtss_f32(x)
    }
    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x)));
        let eight = _mm256_add_ps(_mm512_castps512_ps256(x), high);
        super::avx2::sum(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight)))
    }

    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        super::avx2::half(bits)
    }
    #[inline(always)]
    unsafe fn splat_half(from: *const u8) -> __m512 {
        _mm512_cvtph_ps(_mm256_set1_epi16(from.cast::<i16>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn splat_halves(from: *const u8) -> (__m512, __m512) {
        let both = _mm512_cvtph_ps(_mm256_set1_epi32(from.cast::<i32>().read_unaligned()));
        (_mm512_moveldup_ps(both), _mm512_movehdup_ps(both))
    }
    #[inline(always)]
    unsafe fn bytes_to_float(bytes: [u8; 8]) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))))
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> __m512i {
        _mm512_cvtepu8_epi16(half_bytes(from))
    }
    #[inline(always)]
    unsafe fn signed_nibbles(from: *const u8) -> __m512i {
        _mm512_cvtepi8_epi16(_mm256_sub_epi8(half_bytes(from), _mm256_set1_epi8(8)))
    }
    #[inline(always)]
    unsafe fn low_nibbles(from: *const u8) -> __m512i {
        _mm512_cvtepu8_epi16(_mm256_and_si256(_mm256_loadu_si256(from.cast()), _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    unsafe fn high_nibbles(from: *const u8) -> __m512i {
        let shifted = _mm256_srli_epi16::<4>(_mm256_loadu_si256(from.cast()));
        _mm512_cvtepu8_epi16(_mm256_and_si256(shifted, _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m512i {
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast()))
    }
    #[inline(always)]
    unsafe fn load_group(from: *const i16) -> __m512i {
        _mm512_loadu_si512(from.cast())
    }
    #[inline(always)]
    unsafe fn store_group(x: __m512i, to: *mut i16) {
        _mm512_storeu_si512(to.cast(), x);
    }
    #[inline(always)]
    unsafe fn dot_groups(x: __m512i, y: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_madd_epi16(x, y))
    }
}

/// Sixteen bytes of rows 0, 4, 8 and 12 from `from` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn every_fourth(from: *const u8, stride: usize) -> __m512i {
    let row = |i: usize| from.wrapping_add(4 * i * stride).cast();
    let (row_0, row_1, row_2, row_3) = (row(0), row(1), row(2), row(3));
    let rows = _mm512_castsi128_si512(_mm_loadu_si128(row_0));
    let rows = _mm512_inserti32x4::<1>(rows, _mm_loadu_si128(row_1));
    let rows = _mm512_inserti32x4::<2>(rows, _mm_loadu_si128(row_2));
    _mm512_inserti32x4::<3>(rows, _mm_loadu_si128(row_3))
}

// SAFETY: the instructions are those that the type names.
unsafe impl RowLanes for Avx512 {
    #[inline(always)]
    unsafe fn columns(from: *const u8, stride: usize) -> [__m512i; 4] {
        let (a, b) = (every_fourth(from, stride), every_fourth(from.add(stride), stride));
        let (c, d) = (every_fourth(from.add(2 * stride), stride), every_fourth(from.add(3 * stride), stride));
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
    #[inline(always)]
    unsafe fn first_column(from: *const u8, stride: usize) -> __m512i {
        Self::columns(from, stride)[0]
    }
    #[inline(always)]
    unsafe fn and(x: __m512i, mask: i32) -> __m512i {
        _mm512_and_si512(x, _mm512_set1_epi32(mask))
    }
    #[inline(always)]
    unsafe fn or(x: __m512i, y: __m512i) -> __m512i {
        _mm512_or_si512(x, y)
    }
    #[inline(always)]
    unsafe fn shift_right<const BY: u32>(x: __m512i) -> __m512i {
        _mm512_srli_epi32::<BY>(x)
    }
    #[inline(always)]
    unsafe fn halves(x: __m512i) -> (__m512, __m512) {
        let high = _mm512_srli_epi32::<16>(x);
        (_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)), _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high)))
    }
    #[inline(always)]
    unsafe fn widen(x: __m512i) -> (__m512i, __m512i) {
        (_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(x)), _mm512_srai_epi16::<8>(x))
    }
}
