//! Products of f32 matrices, behind a safe and checked face.

/// A matrix of f32 values somewhere in a slice: element `(i, j)` lies at `i * row_stride + j * column_stride`.
///
/// Rows may overlap (`row_stride` below `columns`): a window that slides over a sequence is a matrix without being copied.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// `[rows, columns]`, row after row without a gap.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]` with `row_stride` values from one row's start to the next.
    ///
    /// # Panics
    /// When `data` ends before the last element; callers size both from the same numbers.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(holds(data.len(), rows, columns, row_stride), "matrix sizes");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same values with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

fn holds(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    rows == 0
        || columns == 0
        || (rows - 1).checked_mul(row_stride).and_then(|n| n.checked_add(columns)).is_some_and(|n| n <= len)
}

/// `out = scale * a b`, with `out_stride` values from one row of `out` to the next.
///
/// Large products are shared among rayon's threads; the result does not depend on their number.
///
/// # Panics
/// When the inner extents differ, or `out` is too short; callers size them from the same numbers.
pub fn sgemm(out: &mut [f32], out_stride: usize, a: View<'_>, b: View<'_>, scale: f32) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(b.rows == k && out_stride >= n && holds(out.len(), m, n, out_stride), "matrix sizes");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        out.chunks_mut(out_stride).take(m).for_each(|row| row[..n].fill(0.0));
        return;
    }
    let large = m.saturating_mul(k).saturating_mul(n) > 1 << 18;
    let parallelism = if large { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: a `View` is only made after its last element was found to lie in its slice (transposing exchanges both the
    // extents and the strides), and the same was checked for `out` above, so every element that the strides reach is in
    // bounds; rows of `out` do not overlap (`out_stride >= n`) and it is borrowed mutably, so it overlaps neither input;
    // strides fit isize because slices do; `read_dst` is false, so `out` is only written.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            false,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
