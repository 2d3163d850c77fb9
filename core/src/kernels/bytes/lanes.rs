//! Dot products of bytes, where there is an instruction for them, else of the same integers widened to 16 bits: sums are the same.

#[cfg(target_arch = "x86_64")]
use std::arch::{asm, x86_64::__m512i};

#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};
use crate::kernels::lanes::{Lanes, Portable, GROUP};

/// Lanes that hold `VALUES` small integers each.
///
/// # Safety
/// As [`Lanes`].
pub unsafe trait Bytes: Lanes {
    /// Integers of a lane.
    const VALUES: usize;
    /// What is added to activations, to have them without a sign.
    const OFFSET: i32;
    /// Words of 32 bits that a group takes.
    const WORDS: usize = GROUP / Self::VALUES;

    /// Writes `values`, [`Bytes::OFFSET`] added to each, as [`Bytes::WORDS`] words.
    ///
    /// # Safety
    /// As [`Lanes`]; `out` has room.
    unsafe fn activations(values: &[i8; GROUP], out: *mut i32);
    /// Writes the bytes of a group of weights as [`Bytes::WORDS`] words, `stride` words from one to the next.
    ///
    /// # Safety
    /// As [`Lanes`]; `from` has 32 bytes, `out` has room.
    unsafe fn weights(from: *const u8, out: *mut i32, stride: usize);
    /// `sum` and the products of the `VALUES` activations and weights of each lane.
    ///
    /// # Safety
    /// As [`Lanes`].
    unsafe fn dot(sum: Self::Int, activations: Self::Int, weights: Self::Int) -> Self::Int;
}

/// What all types do alike that have no product of bytes but [`Lanes::dot_pairs`].
macro_rules! pairs {
    () => {
        const VALUES: usize = 2;
        const OFFSET: i32 = 0;

        #[inline(always)]
        unsafe fn activations(values: &[i8; GROUP], out: *mut i32) {
            out.cast::<[i16; GROUP]>().write_unaligned(values.map(i16::from));
        }
        #[inline(always)]
        unsafe fn weights(from: *const u8, out: *mut i32, stride: usize) {
            let mut wide = [0i16; GROUP];
            Self::store_group(Self::bytes(from), wide.as_mut_ptr());
            for word in 0..Self::WORDS {
                out.add(word * stride).write(wide.as_ptr().cast::<i32>().add(word).read_unaligned());
            }
        }
        #[inline(always)]
        unsafe fn dot(sum: Self::Int, activations: Self::Int, weights: Self::Int) -> Self::Int {
            Self::dot_pairs(sum, activations, weights)
        }
    };
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot_quads(mut sum: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
    // By its name, as in `lanes`: what compilers make of the intrinsic takes longer.
    asm!("vpdpbusd {0}, {1}, {2}", inout(zmm_reg) sum, in(zmm_reg) activations, in(zmm_reg) weights, options(pure, nomem, nostack, preserves_flags));
    sum
}

// SAFETY: the instruction is one of AVX-512 VNNI, which `Avx512` names.
#[cfg(target_arch = "x86_64")]
unsafe impl Bytes for Avx512 {
    const VALUES: usize = 4;
    const OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn activations(values: &[i8; GROUP], out: *mut i32) {
        out.cast::<[u8; GROUP]>().write_unaligned(values.map(|value| value as u8 ^ 0x80));
    }
    #[inline(always)]
    unsafe fn weights(from: *const u8, out: *mut i32, stride: usize) {
        for word in 0..Self::WORDS {
            out.add(word * stride).write(from.cast::<i32>().add(word).read_unaligned());
        }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::Int, activations: Self::Int, weights: Self::Int) -> Self::Int {
        dot_quads(sum, activations, weights)
    }
}

// SAFETY: nothing but `Lanes` is used. (AVX2's product of bytes saturates.)
#[cfg(target_arch = "x86_64")]
unsafe impl Bytes for Avx2 {
    pairs!();
}

// SAFETY: nothing but `Lanes` is used.
#[cfg(target_arch = "aarch64")]
unsafe impl Bytes for Neon {
    pairs!();
}

// SAFETY: nothing but `Lanes` is used.
unsafe impl Bytes for Portable {
    pairs!();
}
