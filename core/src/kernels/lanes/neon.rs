//! NEON, which every aarch64 processor has: 4 lanes.

use std::arch::aarch64::*;

use super::{Lanes, Portable};
use crate::kernels::blocks;

/// 4 lanes. Needs NEON.
#[derive(Debug, Clone, Copy)]
pub struct Neon;

/// The low and the high eight bytes as 16-bit integers.
#[inline(always)]
unsafe fn widen(x: uint8x16_t) -> [int16x8_t; 2] {
    [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(x))), vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(x)))]
}

// SAFETY: the instructions are those that the type names.
unsafe impl Lanes for Neon {
    const N: usize = 4;
    type Int = int32x4_t;
    type Float = float32x4_t;
    type Group = [int16x8_t; 4];
    /// Two vectors' worth, which compilers make of it.
    type Eight = Portable;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        vdupq_n_s32(0)
    }
    #[inline(always)]
    unsafe fn zero_float() -> float32x4_t {
        vdupq_n_f32(0.0)
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> int32x4_t {
        vld1q_s32(from)
    }
    #[inline(always)]
    unsafe fn splat(from: *const i16) -> int32x4_t {
        vdupq_n_s32(from.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: int32x4_t, x: int32x4_t, y: int32x4_t) -> int32x4_t {
        let (x, y) = (vreinterpretq_s16_s32(x), vreinterpretq_s16_s32(y));
        let low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
        vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(x, y)))
    }
    #[inline(always)]
    unsafe fn to_float(x: int32x4_t) -> float32x4_t {
        vcvtq_f32_s32(x)
    }
    #[inline(always)]
    unsafe fn load_float(from: *const f32) -> float32x4_t {
        vld1q_f32(from)
    }
    #[inline(always)]
    unsafe fn splat_float(x: f32) -> float32x4_t {
        vdupq_n_f32(x)
    }
    #[inline(always)]
    unsafe fn mul(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        vmulq_f32(x, y)
    }
    #[inline(always)]
    unsafe fn mul_add(x: float32x4_t, y: float32x4_t, z: float32x4_t) -> float32x4_t {
        vfmaq_f32(z, x, y)
    }
    #[inline(always)]
    unsafe fn add(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        vaddq_f32(x, y)
    }
    #[inline(always)]
    unsafe fn max(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        vbslq_f32(vcgtq_f32(x, y), x, y)
    }
    #[inline(always)]
    unsafe fn min(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        vbslq_f32(vcltq_f32(x, y), x, y)
    }
    #[inline(always)]
    unsafe fn store_float(x: float32x4_t, to: *mut f32) {
        vst1q_f32(to, x);
    }
    #[inline(always)]
    unsafe fn first(x: float32x4_t) -> f32 {
        vgetq_lane_f32::<0>(x)
    }
    #[inline(always)]
    unsafe fn sum(x: float32x4_t) -> f32 {
        vaddvq_f32(x)
    }

    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        blocks::half(bits.to_le_bytes())
    }
    #[inline(always)]
    unsafe fn splat_half(from: *const u8) -> float32x4_t {
        vdupq_n_f32(blocks::half(from.cast::<[u8; 2]>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn splat_halves(from: *const u8) -> (float32x4_t, float32x4_t) {
        (Self::splat_half(from), Self::splat_half(from.add(2)))
    }
    #[inline(always)]
    unsafe fn bytes_to_float(bytes: [u8; 8]) -> float32x4_t {
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vld1_u8(bytes.as_ptr())))))
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const u8) {
        // The intrinsic is not stable.
        std::arch::asm!("prfm pldl1keep, [{from}]", from = in(reg) from, options(nostack, preserves_flags, readonly));
    }
    #[inline(always)]
    unsafe fn signed_nibbles(from: *const u8) -> Self::Group {
        let eight = vdupq_n_s16(8);
        Self::nibbles(from).map(|part| vsubq_s16(part, eight))
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> Self::Group {
        let packed = vld1q_u8(from);
        let [a, b] = widen(vandq_u8(packed, vdupq_n_u8(15)));
        let [c, d] = widen(vshrq_n_u8::<4>(packed));
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn low_nibbles(from: *const u8) -> Self::Group {
        let mask = vdupq_n_u8(15);
        let [a, b] = widen(vandq_u8(vld1q_u8(from), mask));
        let [c, d] = widen(vandq_u8(vld1q_u8(from.add(16)), mask));
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn high_nibbles(from: *const u8) -> Self::Group {
        let [a, b] = widen(vshrq_n_u8::<4>(vld1q_u8(from)));
        let [c, d] = widen(vshrq_n_u8::<4>(vld1q_u8(from.add(16))));
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Group {
        let (x, y) = (vld1q_s8(from.cast()), vld1q_s8(from.add(16).cast()));
        [vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x), vmovl_s8(vget_low_s8(y)), vmovl_high_s8(y)]
    }
    #[inline(always)]
    unsafe fn load_group(from: *const i16) -> Self::Group {
        [vld1q_s16(from), vld1q_s16(from.add(8)), vld1q_s16(from.add(16)), vld1q_s16(from.add(24))]
    }
    #[inline(always)]
    unsafe fn store_group(x: Self::Group, to: *mut i16) {
        for (i, part) in x.into_iter().enumerate() {
            vst1q_s16(to.add(8 * i), part);
        }
    }
    #[inline(always)]
    unsafe fn dot_groups(x: Self::Group, y: Self::Group) -> float32x4_t {
        let mut sum = vdupq_n_s32(0);
        for (x, y) in x.into_iter().zip(y) {
            sum = vmlal_s16(sum, vget_low_s16(x), vget_low_s16(y));
            sum = vmlal_high_s16(sum, x, y);
        }
        vcvtq_f32_s32(sum)
    }
}
