//! The matrix product, behind a safe and checked face.

#![allow(unsafe_code, reason = "the matrix product takes pointers")]

/// `out = a · b`, all row-major and without padding: `a` is `[m, k]`, `b` is `[k, n]`, `out` is `[m, n]`.
///
/// # Panics
/// When a slice is shorter than its shape; callers size them from the same numbers.
pub(super) fn matmul(out: &mut [f32], a: &[f32], b: &[f32], m: usize, k: usize, n: usize, parallel: bool) {
    assert!(out.len() >= m * n && a.len() >= m * k && b.len() >= k * n, "matrix sizes");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        out[..m * n].fill(0.0);
        return;
    }
    let parallelism =
        if parallel && m * k * n > 1 << 18 { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: the three pointers come from slices that were checked above to hold m*n, m*k and k*n elements; the strides
    // (1 between columns, the row length between rows) stay within them for every row < m or k and column < n or k; `out` is
    // borrowed mutably, so it overlaps neither input; `read_dst` is false, so `out` is only written.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
