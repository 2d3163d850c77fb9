//! Dot products of f16 rows with an f32 row: what a step of the decoder does, bound by reading the weights.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    reason = "vector kernels chosen at run time; every unsafe function says what it needs"
)]

use half::f16;

use crate::kernels::Isa;

/// Rows at a time: so many streams of weights keep the memory busy, and one load of the input serves all.
const ROWS: usize = 4;

/// `out[row] = weights[row] · input`, with weights `[out.len(), input.len()]`, summed in a fixed order.
///
/// # Panics
/// When `weights` has another length; callers size all from the same numbers.
pub(super) fn products(weights: &[f16], input: &[f32], out: &mut [f32]) {
    let width = input.len();
    assert!(width > 0 && weights.len() == out.len() * width, "matrix sizes");
    let isa = if width.is_multiple_of(16) { Isa::detect() } else { Isa::Portable };
    for (out, rows) in out.chunks_mut(ROWS).zip(weights.chunks(ROWS * width)) {
        // The rows of a short end are computed again in the place of those that are missing.
        let last = out.len() - 1;
        let row = |r: usize| &rows[r.min(last) * width..][..width];
        let four = [row(0), row(1), row(2), row(3)];
        let sums = match isa {
            // SAFETY: `detect` found the instructions; rows and input are `width` long, a multiple of 16.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::avx512(four, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::avx2(four, input) },
            _ => four.map(|row| plain(row, input)),
        };
        out.copy_from_slice(&sums[..out.len()]);
    }
}

fn plain(row: &[f16], input: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    for (row, input) in row.chunks(8).zip(input.chunks(8)) {
        for ((lane, weight), x) in lanes.iter_mut().zip(row).zip(input) {
            *lane += weight.to_f32() * x;
        }
    }
    lanes.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::ROWS;

    /// # Safety
    /// AVX-512 F is there; rows and input are of one length, a multiple of 16.
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    pub unsafe fn avx512(rows: [&[f16]; ROWS], input: &[f32]) -> [f32; ROWS] {
        let mut sums = [_mm512_setzero_ps(); ROWS];
        for i in (0..input.len()).step_by(16) {
            let x = _mm512_loadu_ps(input.as_ptr().add(i));
            for (sum, row) in sums.iter_mut().zip(rows) {
                let weights = _mm512_cvtph_ps(_mm256_loadu_si256(row.as_ptr().add(i).cast()));
                *sum = _mm512_fmadd_ps(weights, x, *sum);
            }
        }
        let mut out = [0.0; ROWS];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = _mm512_reduce_add_ps(sum);
        }
        out
    }

    /// # Safety
    /// AVX2, FMA and F16C are there; rows and input are of one length, a multiple of 8.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn avx2(rows: [&[f16]; ROWS], input: &[f32]) -> [f32; ROWS] {
        let mut sums = [_mm256_setzero_ps(); ROWS];
        for i in (0..input.len()).step_by(8) {
            let x = _mm256_loadu_ps(input.as_ptr().add(i));
            for (sum, row) in sums.iter_mut().zip(rows) {
                let weights = _mm256_cvtph_ps(_mm_loadu_si128(row.as_ptr().add(i).cast()));
                *sum = _mm256_fmadd_ps(weights, x, *sum);
            }
        }
        let mut out = [0.0; ROWS];
        for (out, sum) in out.iter_mut().zip(sums) {
            let mut lanes = [0f32; 8];
            _mm256_storeu_ps(lanes.as_mut_ptr(), sum);
            *out = lanes.iter().sum();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_the_plain_sums() {
        for (rows, width) in [(1, 16), (5, 384), (7, 48), (4, 13), (3, 1536)] {
            let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
            let weights: Vec<f16> = (0..rows * width).map(|i| f16::from_f32(value(i))).collect();
            let input: Vec<f32> = (0..width).map(|i| value(3 * i)).collect();
            let mut out = vec![0.0; rows];
            products(&weights, &input, &mut out);
            for (row, out) in weights.chunks_exact(width).zip(out) {
                let expected: f64 = row.iter().zip(&input).map(|(w, x)| w.to_f64() * f64::from(*x)).sum();
                assert!((f64::from(out) - expected).abs() < 1e-3, "{out} is not {expected}");
            }
        }
    }
}
