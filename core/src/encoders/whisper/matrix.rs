//! Dense f32 matrices and the few operations that a transformer needs.
//!
//! Products go through the `gemm` crate, which picks the widest kernels of the machine at run time and splits over
//! rows and columns only (never over the inner dimension), so that results do not depend on the number of threads.

#![allow(unsafe_code, reason = "the matrix product takes pointers")]

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Work below this many elements is not worth a second thread.
const PARALLEL_ELEMENTS: usize = 1 << 15;

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

    pub(super) fn view(&self) -> View<'_> {
        View { data: &self.data, rows: self.rows, cols: self.cols, row_stride: self.cols, col_stride: 1 }
    }

    /// Columns `first..first + cols` of rows `row..row + rows`.
    pub(super) fn block(&self, row: usize, rows: usize, first: usize, cols: usize) -> View<'_> {
        View {
            data: self.data.get(row * self.cols + first..).unwrap_or(&[]),
            rows,
            cols,
            row_stride: self.cols,
            col_stride: 1,
        }
    }

    pub(super) fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut { rows: self.rows, cols: self.cols, row_stride: self.cols, data: &mut self.data }
    }

    pub(super) fn block_mut(&mut self, row: usize, rows: usize, first: usize, cols: usize) -> ViewMut<'_> {
        ViewMut {
            rows,
            cols,
            row_stride: self.cols,
            data: self.data.get_mut(row * self.cols + first..).unwrap_or(&mut []),
        }
    }
}

/// A strided window on f32 values. Rows may overlap: that is how a convolution reads its input.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl View<'_> {
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            data: self.data,
        }
    }

    fn fits(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < self.data.len()
    }
}

/// A strided window that is written. Rows do not overlap.
pub(super) struct ViewMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
}

impl ViewMut<'_> {
    fn fits(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.row_stride >= self.cols && (self.rows - 1) * self.row_stride + self.cols <= self.data.len())
    }
}

/// `out = scale * left @ right`, or `out += scale * left @ right` with `add`.
///
/// Shapes that do not agree are a defect of the caller and come back as `internal`.
pub(super) fn multiply(out: ViewMut<'_>, left: View<'_>, right: View<'_>, scale: f32, add: bool) -> Result<()> {
    let agrees = out.rows == left.rows && out.cols == right.cols && left.cols == right.rows;
    if !(agrees && out.fits() && left.fits() && right.fits()) {
        return Err(Error::internal(format!(
            "matrix shapes do not agree: [{}, {}] = [{}, {}] @ [{}, {}]",
            out.rows, out.cols, left.rows, left.cols, right.rows, right.cols
        )));
    }
    let work = out.rows * out.cols * left.cols;
    let parallelism = match rayon::current_num_threads() {
        threads if threads > 1 && work >= 1 << 20 => gemm::Parallelism::Rayon(threads),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: `fits` proved that every element that the shapes and strides name lies inside its slice; `out` is an
    // exclusive borrow, so it overlaps neither input, and its rows do not overlap each other; f32 has no invalid bits.
    // Slice lengths are at most isize::MAX, so the strides fit isize.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            left.cols,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            add,
            left.data.as_ptr(),
            left.col_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.col_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

/// A linear map: `y = x @ weight^T + bias`.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Matrix,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl Linear {
    pub fn apply(&self, input: View<'_>) -> Result<Matrix> {
        let mut out = Matrix::zeros(input.rows, self.bias.len());
        self.add_to(&mut out, input)?;
        Ok(out)
    }

    /// `out += input @ weight^T + bias`.
    pub fn add_to(&self, out: &mut Matrix, input: View<'_>) -> Result<()> {
        for row in out.data.chunks_exact_mut(self.bias.len().max(1)) {
            row.iter_mut().zip(&self.bias).for_each(|(value, bias)| *value += bias);
        }
        multiply(out.view_mut(), input, self.weight.view().transposed(), 1.0, true)
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
        let mut out = input.clone();
        let width = input.cols.max(1);
        for row in out.data.chunks_exact_mut(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + 1e-5).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *value = (*value - mean) * scale * weight + bias;
            }
        }
        out
    }
}

/// Gaussian error linear unit with the exact error function, in place.
pub(super) fn gelu(values: &mut [f32]) {
    let apply = |part: &mut [f32]| part.iter_mut().for_each(|x| *x = 0.5 * *x * (1.0 + erf(*x * 0.707_106_77)));
    if values.len() >= PARALLEL_ELEMENTS {
        values.par_chunks_mut(PARALLEL_ELEMENTS / 4).for_each(apply);
    } else {
        apply(values);
    }
}

/// Softmax of each row of `cols` values, in place. `bias` is added to every row first.
pub(super) fn softmax_rows(values: &mut [f32], cols: usize, bias: Option<&[f32]>) {
    let apply = |row: &mut [f32]| {
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        }
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = exp(*x - max));
        let scale = 1.0 / row.iter().sum::<f32>();
        row.iter_mut().for_each(|x| *x *= scale);
    };
    if values.len() >= PARALLEL_ELEMENTS {
        values.par_chunks_mut(cols.max(1)).with_min_len(16).for_each(apply);
    } else {
        values.chunks_mut(cols.max(1)).for_each(apply);
    }
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
    fn multiply_refuses_shapes_that_do_not_agree() {
        let (a, b) = (Matrix::zeros(2, 3), Matrix::zeros(4, 2));
        let mut out = Matrix::zeros(2, 2);
        assert!(multiply(out.view_mut(), a.view(), b.view(), 1.0, false).is_err());
        assert!(multiply(out.view_mut(), a.block(1, 2, 0, 3), a.view().transposed(), 1.0, false).is_err());
    }

    #[test]
    fn multiply_agrees_with_the_definition() {
        let a = Matrix { rows: 2, cols: 3, data: vec![1., 2., 3., 4., 5., 6.] };
        let mut out = Matrix { rows: 2, cols: 2, data: vec![1.0; 4] };
        multiply(out.view_mut(), a.view(), a.view().transposed(), 0.5, true).unwrap();
        assert_eq!(out.data, [8.0, 17.0, 17.0, 39.5]);
    }
}
