//! What the machine can do at most: bytes a second from memory, operations a second in registers.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Bytes that are read, far more than caches hold.
const BYTES: usize = 512 << 20;
/// Rounds of the arithmetic loops.
const ROUNDS: usize = 40_000_000;

/// Seconds to read [`BYTES`] by all threads of the current pool, and how many bytes that are.
pub fn read() -> (f64, usize) {
    let words = vec![1u64; BYTES / 8];
    let part = words.len().div_ceil(rayon::current_num_threads() * 8);
    let sum = || words.par_chunks(part).map(|part| part.iter().fold(0u64, |a, b| a.wrapping_add(*b))).sum::<u64>();
    black_box(sum());
    let began = Instant::now();
    black_box(sum());
    (began.elapsed().as_secs_f64(), BYTES)
}

/// Seconds that multiplications and additions of f32 take on all threads of the current pool, and how many operations they are.
pub fn multiply_add() -> (f64, usize) {
    let began = Instant::now();
    let operations: usize = rayon::broadcast(|_| kernel()).into_iter().sum();
    (began.elapsed().as_secs_f64(), operations)
}

/// Seconds that products of 16-bit integers with sums of 32 bits take on all threads of the current pool, and how many operations they are (two to a
/// product). Without AVX-512 VNNI none are measured.
pub fn multiply_pairs() -> (f64, usize) {
    let began = Instant::now();
    let operations: usize = rayon::broadcast(|_| pairs()).into_iter().sum();
    (began.elapsed().as_secs_f64(), operations)
}

fn pairs() -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the feature was found, and AVX-512 F comes with it.
        return unsafe { vnni() };
    }
    0
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni() -> usize {
    use std::arch::asm;
    use std::arch::x86_64::{_mm512_set1_epi32, _mm512_setzero_si512};
    let (a, b) = (black_box(_mm512_set1_epi32(3)), black_box(_mm512_set1_epi32(5)));
    let mut sums = [_mm512_setzero_si512(); 16];
    for _ in 0..ROUNDS / 16 {
        for sum in &mut sums {
            // SAFETY: it reads and writes registers only. By its name, since compilers make two instructions of the intrinsic.
            unsafe {
                asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) *sum, in(zmm_reg) a, in(zmm_reg) b, options(pure, nomem, nostack, preserves_flags));
            }
        }
    }
    black_box(sums);
    ROUNDS / 16 * 16 * 32 * 2
}

/// One thread's part; its operations.
fn kernel() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature was found.
            return unsafe { avx512() };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features were found.
            return unsafe { avx2() };
        }
    }
    chains::<4>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let (a, b) = (black_box(_mm512_set1_ps(0.999)), black_box(_mm512_set1_ps(0.001)));
    let mut sums = [_mm512_set1_ps(1.0); 16];
    for _ in 0..ROUNDS / 16 {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, b);
        }
    }
    black_box(sums);
    ROUNDS / 16 * 16 * 16 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (black_box(_mm256_set1_ps(0.999)), black_box(_mm256_set1_ps(0.001)));
    let mut sums = [_mm256_set1_ps(1.0); 12];
    for _ in 0..ROUNDS / 12 {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    black_box(sums);
    ROUNDS / 12 * 12 * 8 * 2
}

/// `N` values side by side in plain Rust.
fn chains<const N: usize>() -> usize {
    let (a, b) = (black_box(0.999f32), black_box(0.001f32));
    let mut sums = [[1f32; N]; 8];
    for _ in 0..ROUNDS / 8 {
        for sum in sums.iter_mut().flatten() {
            *sum = *sum * a + b;
        }
    }
    black_box(sums);
    ROUNDS / 8 * 8 * N * 2
}
