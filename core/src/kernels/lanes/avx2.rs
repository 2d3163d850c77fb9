//! AVX2 with FMA and F16C: 8 lanes.

use std::arch::x86_64::*;

use super::{Lanes, RowLanes};

/// 8 lanes. Needs AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub struct Avx2;

/// A half as a float, with F16C.
#[inline(always)]
pub unsafe fn half(bits: u16) -> f32 {
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}

/// The sum of four lanes.
#[inline(always)]
pub unsafe fn sum(x: __m128) -> f32 {
    let two = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline(always)]
unsafe fn widen(low: __m128i, high: __m128i) -> [__m256i; 2] {
    [_mm256_cvtepu8_epi16(low), _mm256_cvtepu8_epi16(high)]
}

// SAFETY: the instructions are those that the type names.
unsafe impl Lanes for Avx2 {
    const N: usize = 8;
    type Int = __m256i;
    type Float = __m256;
    type Group = [__m256i; 2];
    type Eight = Self;

    #[inline(always)]
    unsafe fn dot_pairs(sum: __m256i, x: __m256i, y: __m256i) -> __m256i {
        _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
    }
    #[inline(always)]
    unsafe fn zero() -> __m256i {
        _mm256_setzero_si256()
    }
    #[inline(always)]
    unsafe fn zero_float() -> __m256 {
        _mm256_setzero_ps()
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m256i {
        _mm256_loadu_si256(from.cast())
    }
    #[inline(always)]
    unsafe fn splat(from: *const i16) -> __m256i {
        _mm256_set1_epi32(from.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn to_float(x: __m256i) -> __m256 {
        _mm256_cvtepi32_ps(x)
    }
    #[inline(always)]
    unsafe fn load_float(from: *const f32) -> __m256 {
        _mm256_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn splat_float(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn splat_half(from: *const u8) -> __m256 {
        _mm256_cvtph_ps(_mm_set1_epi16(from.cast::<i16>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn splat_halves(from: *const u8) -> (__m256, __m256) {
        let both = _mm256_cvtph_ps(_mm_set1_epi32(from.cast::<i32>().read_unaligned()));
        (_mm256_moveldup_ps(both), _mm256_movehdup_ps(both))
    }
    #[inline(always)]
    unsafe fn bytes_to_float(bytes: [u8; 8]) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))))
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
    #[inline(always)]
    unsafe fn mul(x: __m256, y: __m256) -> __m256 {
        _mm256_mul_ps(x, y)
    }
    #[inline(always)]
    unsafe fn mul_add(x: __m256, y: __m256, z: __m256) -> __m256 {
        _mm256_fmadd_ps(x, y, z)
    }
    #[inline(always)]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        _mm256_add_ps(x, y)
    }
    #[inline(always)]
    unsafe fn max(x: __m256, y: __m256) -> __m256 {
        _mm256_max_ps(x, y)
    }
    #[inline(always)]
    unsafe fn min(x: __m256, y: __m256) -> __m256 {
        _mm256_min_ps(x, y)
    }
    #[inline(always)]
    unsafe fn store_float(x: __m256, to: *mut f32) {
        _mm256_storeu_ps(to, x);
    }
    #[inline(always)]
    unsafe fn first(x: __m256) -> f32 {
        _mm256_cvtss_f32(x)
    }
    #[inline(always)]
    unsafe fn sum(x: __m256) -> f32 {
        super::avx2::sum(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)))
    }

    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        half(bits)
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> Self::Group {
        let mask = _mm_set1_epi8(15);
        let packed = _mm_loadu_si128(from.cast());
        widen(_mm_and_si128(packed, mask), _mm_and_si128(_mm_srli_epi16::<4>(packed), mask))
    }
    #[inline(always)]
    unsafe fn signed_nibbles(from: *const u8) -> Self::Group {
        Self::nibbles(from).map(|values| _mm256_sub_epi16(values, _mm256_set1_epi16(8)))
    }
    #[inline(always)]
    unsafe fn low_nibbles(from: *const u8) -> Self::Group {
        let mask = _mm_set1_epi8(15);
        let (first, second) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
        widen(_mm_and_si128(first, mask), _mm_and_si128(second, mask))
    }
    #[inline(always)]
    unsafe fn high_nibbles(from: *const u8) -> Self::Group {
        let mask = _mm_set1_epi8(15);
        let (first, second) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
        widen(_mm_and_si128(_mm_srli_epi16::<4>(first), mask), _mm_and_si128(_mm_srli_epi16::<4>(second), mask))
    }
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Group {
        let (first, second) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
        [_mm256_cvtepi8_epi16(first), _mm256_cvtepi8_epi16(second)]
    }
    #[inline(always)]
    unsafe fn load_group(from: *const i16) -> Self::Group {
        [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(16).cast())]
    }
    #[inline(always)]
    unsafe fn store_group([first, second]: Self::Group, to: *mut i16) {
        _mm256_storeu_si256(to.cast(), first);
        _mm256_storeu_si256(to.add(16).cast(), second);
    }
    #[inline(always)]
    unsafe fn dot_groups(x: Self::Group, y: Self::Group) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(x[0], y[0]), _mm256_madd_epi16(x[1], y[1])))
    }
}

/// Sixteen bytes of rows 0 and 4 from `from` on.
#[inline(always)]
unsafe fn every_fourth(from: *const u8, stride: usize) -> __m256i {
    let first = _mm256_castsi128_si256(_mm_loadu_si128(from.cast()));
    _mm256_inserti128_si256::<1>(first, _mm_loadu_si128(from.add(4 * stride).cast()))
}

/// The low 16 bits of each lane, where the high ones are 0, as halves.
#[inline(always)]
unsafe fn low_halves(x: __m256i) -> __m256 {
    _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)))
}

// SAFETY: the instructions are those that the type names.
unsafe impl RowLanes for Avx2 {
    #[inline(always)]
    unsafe fn columns(from: *const u8, stride: usize) -> [__m256i; 4] {
        let (a, b) = (every_fourth(from, stride), every_fourth(from.add(stride), stride));
        let (c, d) = (every_fourth(from.add(2 * stride), stride), every_fourth(from.add(3 * stride), stride));
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
    #[inline(always)]
    unsafe fn first_column(from: *const u8, stride: usize) -> __m256i {
        Self::columns(from, stride)[0]
    }
    #[inline(always)]
    unsafe fn and(x: __m256i, mask: i32) -> __m256i {
        _mm256_and_si256(x, _mm256_set1_epi32(mask))
    }
    #[inline(always)]
    unsafe fn or(x: __m256i, y: __m256i) -> __m256i {
        _mm256_or_si256(x, y)
    }
    #[inline(always)]
    unsafe fn shift_right<const BY: u32>(x: __m256i) -> __m256i {
        _mm256_srl_epi32(x, _mm_cvtsi32_si128(BY as i32))
    }
    #[inline(always)]
    unsafe fn halves(x: __m256i) -> (__m256, __m256) {
        (low_halves(_mm256_and_si256(x, _mm256_set1_epi32(0xffff))), low_halves(_mm256_srli_epi32::<16>(x)))
    }
    #[inline(always)]
    unsafe fn widen(x: __m256i) -> (__m256i, __m256i) {
        (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x))
    }
}
