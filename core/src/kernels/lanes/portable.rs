//! Plain Rust for any processor: 8 lanes, which compilers turn into what vectors there are.

use super::{Lanes, GROUP};
use crate::kernels::blocks;

/// 8 lanes. Needs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

const N: usize = 8;

#[inline(always)]
fn sixteen_bits(pair: i32) -> (i32, i32) {
    (i32::from(pair as i16), pair >> 16)
}

// SAFETY: nothing is needed.
unsafe impl Lanes for Portable {
    const N: usize = N;
    type Int = [i32; N];
    type Float = [f32; N];
    type Group = [i16; GROUP];
    type Eight = Self;

    #[inline(always)]
    unsafe fn zero() -> [i32; N] {
        [0; N]
    }
    #[inline(always)]
    unsafe fn zero_float() -> [f32; N] {
        [0.0; N]
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> [i32; N] {
        from.cast::<[i32; N]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn splat(from: *const i16) -> [i32; N] {
        [from.cast::<i32>().read_unaligned(); N]
    }
    #[inline(always)]
    unsafe fn dot_pairs(mut sum: [i32; N], x: [i32; N], y: [i32; N]) -> [i32; N] {
        for (sum, (x, y)) in sum.iter_mut().zip(x.into_iter().zip(y)) {
            let (x, y) = (sixteen_bits(x), sixteen_bits(y));
            *sum += x.0 * y.0 + x.1 * y.1;
        }
        sum
    }
    #[inline(always)]
    unsafe fn to_float(x: [i32; N]) -> [f32; N] {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn load_float(from: *const f32) -> [f32; N] {
        from.cast::<[f32; N]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn splat_float(x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn mul(mut x: [f32; N], y: [f32; N]) -> [f32; N] {
        x.iter_mut().zip(y).for_each(|(x, y)| *x *= y);
        x
    }
    #[inline(always)]
    unsafe fn mul_add(x: [f32; N], y: [f32; N], mut z: [f32; N]) -> [f32; N] {
        z.iter_mut().zip(x.into_iter().zip(y)).for_each(|(z, (x, y))| *z += x * y);
        z
    }
    #[inline(always)]
    unsafe fn add(mut x: [f32; N], y: [f32; N]) -> [f32; N] {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        x
    }
    #[inline(always)]
    unsafe fn max(mut x: [f32; N], y: [f32; N]) -> [f32; N] {
        x.iter_mut().zip(y).for_each(|(x, y)| *x = if *x > y { *x } else { y });
        x
    }
    #[inline(always)]
    unsafe fn min(mut x: [f32; N], y: [f32; N]) -> [f32; N] {
        x.iter_mut().zip(y).for_each(|(x, y)| *x = if *x < y { *x } else { y });
        x
    }
    #[inline(always)]
    unsafe fn store_float(x: [f32; N], to: *mut f32) {
        to.cast::<[f32; N]>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn first(x: [f32; N]) -> f32 {
        x[0]
    }
    #[inline(always)]
    unsafe fn sum(x: [f32; N]) -> f32 {
        x.iter().sum()
    }

    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        blocks::half(bits.to_le_bytes())
    }
    #[inline(always)]
    unsafe fn splat_half(from: *const u8) -> [f32; N] {
        [blocks::half(from.cast::<[u8; 2]>().read_unaligned()); N]
    }
    #[inline(always)]
    unsafe fn splat_halves(from: *const u8) -> ([f32; N], [f32; N]) {
        (Self::splat_half(from), Self::splat_half(from.add(2)))
    }
    #[inline(always)]
    unsafe fn bytes_to_float(bytes: [u8; 8]) -> [f32; N] {
        bytes.map(f32::from)
    }
    #[inline(always)]
    unsafe fn prefetch(_from: *const u8) {}
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> [i16; GROUP] {
        let packed = from.cast::<[u8; GROUP / 2]>().read_unaligned();
        let mut group = [0; GROUP];
        let (low, high) = group.split_at_mut(GROUP / 2);
        for ((low, high), packed) in low.iter_mut().zip(high).zip(packed) {
            (*low, *high) = (i16::from(packed & 15), i16::from(packed >> 4));
        }
        group
    }
    #[inline(always)]
    unsafe fn signed_nibbles(from: *const u8) -> [i16; GROUP] {
        Self::nibbles(from).map(|value| value - 8)
    }
    #[inline(always)]
    unsafe fn low_nibbles(from: *const u8) -> [i16; GROUP] {
        from.cast::<[u8; GROUP]>().read_unaligned().map(|packed| i16::from(packed & 15))
    }
    #[inline(always)]
    unsafe fn high_nibbles(from: *const u8) -> [i16; GROUP] {
        from.cast::<[u8; GROUP]>().read_unaligned().map(|packed| i16::from(packed >> 4))
    }
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> [i16; GROUP] {
        from.cast::<[i8; GROUP]>().read_unaligned().map(i16::from)
    }
    #[inline(always)]
    unsafe fn load_group(from: *const i16) -> [i16; GROUP] {
        from.cast::<[i16; GROUP]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store_group(x: [i16; GROUP], to: *mut i16) {
        to.cast::<[i16; GROUP]>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn dot_groups(x: [i16; GROUP], y: [i16; GROUP]) -> [f32; N] {
        let mut sums = [0i32; N];
        for (x, y) in x.chunks_exact(N).zip(y.chunks_exact(N)) {
            for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                *sum += i32::from(x) * i32::from(y);
            }
        }
        sums.map(|sum| sum as f32)
    }
}
