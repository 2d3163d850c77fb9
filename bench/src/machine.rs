//! What the machine can do at most: bytes a second from memory, operations a second in registers.

use std::hint::black_box;
use std::time::Instant;

use emotion_llama_core::kernels::Isa;
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
/// product). Elsewhere than on x86-64 with AVX2 none are measured.
pub fn multiply_pairs() -> (f64, usize) {
    let began = Instant::now();
    let operations: usize = rayon::broadcast(|_| pairs()).into_iter().sum();
    (began.elapsed().as_secs_f64(), operations)
}

fn pairs() -> usize {
    match Isa::detect() {
        // SAFETY: `detect` found the features, and those of AVX-512 that the function names are among them.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { vnni() },
        // SAFETY: `detect` found AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { madd() },
        _ => 0,
    }
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn madd() -> usize {
    use std::arch::asm;
    use std::arch::x86_64::{__m256i, _mm256_add_epi32, _mm256_set1_epi32, _mm256_setzero_si256};
    let (a, b) = (black_box(_mm256_set1_epi32(3)), black_box(_mm256_set1_epi32(5)));
    let mut sums = [_mm256_setzero_si256(); 12];
    for _ in 0..ROUNDS / 12 {
        for sum in &mut sums {
            let product: __m256i;
            // SAFETY: it reads and writes registers only. The products are all the same, and not `pure`, so that each is made.
            unsafe {
                asm!("vpmaddwd {0}, {1}, {2}", out(ymm_reg) product, in(ymm_reg) a, in(ymm_reg) b, options(nomem, nostack, preserves_flags));
            }
            *sum = _mm256_add_epi32(*sum, product);
        }
    }
    black_box(sums);
    ROUNDS / 12 * 12 * 16 * 2
}

/// One thread's part; its operations.
fn kernel() -> usize {
    match Isa::detect() {
        // SAFETY: `detect` found the feature.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512() },
        // SAFETY: `detect` found the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2() },
        _ => chains::<4>(),
    }
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
