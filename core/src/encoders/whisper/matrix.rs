//! Dense f32 matrices and the few operations that a transformer needs.
//!
//! Products go through weights that are packed when they are loaded ([`Packed`]); their sums go over the inner dimension in order, so that
//! results do not depend on the number of threads.

#![allow(unsafe_code, reason = "loops compiled for the instruction set that is there")]

use rayon::prelude::*;

use crate::kernels::{layer_norm, Isa};
use crate::nn::packed::{Packed, Rows};
use crate::nn::Activation;

/// Work below this many elements is not worth a second thread.
const PARALLEL_ELEMENTS: usize = 1 << 15;

/// Runs a loop, an `#[inline(always)]` function, compiled for this CPU.
macro_rules! compiled {
    ($body:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
        fn avx512($($arg: $ty),*) $(-> $ret)? {
            $body($($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2($($arg: $ty),*) $(-> $ret)? {
            $body($($arg),*)
        }
        match Isa::detect() {
            // SAFETY: `detect` found the instructions that the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2($($arg),*) },
            _ => $body($($arg),*),
        }
    }};
}

/// A row-major f32 matrix `[rows, cols]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values, row after row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// All zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// The rows, one slice of `cols` values each.
    pub fn iter_rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.data.chunks_exact(self.cols.max(1))
    }

    /// All rows, to be multiplied.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows::new(&self.data, self.rows, self.cols)
    }
}

/// A linear map: `y = x @ weight^T + bias`.
#[derive(Debug)]
pub(super) struct Linear(Packed);

impl Linear {
    /// From a weight `[outputs, inputs]` and a bias `[outputs]`.
    pub fn new(weight: &[f32], bias: &[f32], inputs: usize) -> Self {
        Self(Packed::new(inputs, bias.len(), |input, output| weight[output * inputs + input], bias))
    }

    /// Columns of what comes out.
    pub fn outputs(&self) -> usize {
        self.0.columns()
    }

    pub fn apply(&self, input: Rows<'_>) -> Matrix {
        let mut out = Matrix::zeros(input.count, self.outputs());
        self.0.apply(&mut out.data, self.outputs(), input, false, Activation::Identity, true);
        out
    }

    /// `out += input @ weight^T + bias`.
    pub fn add_to(&self, out: &mut Matrix, input: Rows<'_>) {
        self.0.apply(&mut out.data, self.outputs(), input, true, Activation::Identity, true);
    }
}

/// Layer normalisation over the last dimension, epsilon 1e-5.
#[derive(Debug)]
pub(super) struct LayerNorm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl LayerNorm {
    pub fn apply(&self, input: &Matrix) -> Matrix {
        let mut out = Matrix::zeros(input.rows, input.cols);
        layer_norm(Isa::detect(), &input.data, &self.weight, &self.bias, 1e-5, &mut out.data);
        out
    }
}

/// Gaussian error linear unit with the exact error function, in place.
pub(super) fn gelu(values: &mut [f32]) {
    #[inline(always)]
    fn body(part: &mut [f32]) {
        part.iter_mut().for_each(|x| *x = 0.5 * *x * (1.0 + erf(*x * 0.707_106_77)));
    }
    let apply = |part: &mut [f32]| compiled!(body(part: &mut [f32]));
    if values.len() >= PARALLEL_ELEMENTS {
        values.par_chunks_mut(PARALLEL_ELEMENTS / 4).for_each(apply);
    } else {
        apply(values);
    }
}

/// Logarithm of the sum of exponentials.
pub(super) fn log_sum(logits: &[f32]) -> f32 {
    #[inline(always)]
    fn body(logits: &[f32], highest: f32) -> f32 {
        let mut lanes = [0f32; 16];
        let chunks = logits.chunks_exact(16);
        let rest: f32 = chunks.remainder().iter().map(|x| exp(x - highest)).sum();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += exp(x - highest));
        }
        lanes.iter().sum::<f32>() + rest
    }
    let highest = highest(logits);
    highest + compiled!(body(logits: &[f32], highest: f32) -> f32).ln()
}

/// The highest value.
pub(super) fn highest(values: &[f32]) -> f32 {
    #[inline(always)]
    fn body(values: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; 16];
        let chunks = values.chunks_exact(16);
        let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = if x > *lane { x } else { *lane });
        }
        lanes.into_iter().fold(rest, f32::max)
    }
    compiled!(body(values: &[f32]) -> f32)
}

/// e^x to 2e-7 relative near 0 and 1e-5 at the ends of the range, written so that the compiler can vectorise it for any x86-64.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let scaled = x.clamp(-87.0, 88.0) * std::f32::consts::LOG2_E;
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits of the mantissa.
    let shifted = scaled + 12_582_912.0;
    let fraction = (scaled - (shifted - 12_582_912.0)) * std::f32::consts::LN_2;
    let mut power = 1.0 / 720.0;
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = power * fraction + term;
    }
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// The error function to 2e-7 absolute (Abramowitz and Stegun, formula 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let mut tail = 1.061_405_4;
    for term in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        tail = tail * t + term;
    }
    (1.0 - tail * t * exp(-magnitude * magnitude)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_agree_with_known_values() {
        for step in -870..=880 {
            let x = step as f32 * 0.1;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-5, "exp({x}) = {}", exp(x));
        }
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (-2.0, -0.995_322_3), (9.0, 1.0)] {
            assert!((erf(x) - expected).abs() < 1e-6, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn the_logarithm_of_a_sum_is_that_of_the_definition() {
        let values: Vec<f32> = (0..1003).map(|i| ((i * 7919) % 997) as f32 / 100.0 - 3.0).collect();
        let expected = values.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        assert!((f64::from(log_sum(&values)) - expected).abs() < 1e-5);
        assert_eq!(highest(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(log_sum(&[f32::NEG_INFINITY, 2.0]), 2.0);
    }

    #[test]
    fn a_linear_map_agrees_with_the_definition() {
        let linear = Linear::new(&[1., 2., 3., 4., 5., 6.], &[1.0, -1.0], 3);
        let x = Matrix { rows: 2, cols: 3, data: vec![1., 2., 3., 4., 5., 6.] };
        let mut out = linear.apply(x.rows());
        assert_eq!(out.data, [15.0, 31.0, 33.0, 76.0]);
        linear.add_to(&mut out, x.rows());
        assert_eq!(out.data, [30.0, 62.0, 66.0, 152.0]);
    }
}
