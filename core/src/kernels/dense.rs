//! The f32 loops of a transformer layer: dot products, normalisation, products of low rank.

use super::crew::for_each;
use super::output::Output;
use super::{chunks, Isa};

/// Runs a loop compiled for the CPU: `$body` is `#[inline(always)]` and takes `const FMA: bool`.
macro_rules! dispatch {
    ($isa:expr, $body:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn wide($($arg: $ty),*) $(-> $ret)? {
            $body::<true>($($arg),*)
        }
        match $isa {
            Isa::Portable => $body::<false>($($arg),*),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => $body::<true>($($arg),*),
            // SAFETY: these are made by `Isa::detect` only, which found the features that `wide` is compiled for.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => unsafe { wide($($arg),*) },
        }
    }};
}
pub(super) use dispatch;

#[inline(always)]
pub(super) fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction `mul_add` is a slow library call.
    if FMA {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_rest, b_rest) = (a.chunks_exact(LANES).remainder(), b.chunks_exact(LANES).remainder());
    let mut lanes = [0f32; LANES];
    for (a, b) in chunks::<LANES, _>(a).zip(chunks::<LANES, _>(b)) {
        for i in 0..LANES {
            lanes[i] = fused::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    // In halves: sixteen additions one after the other would take longer than a head's products.
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0] + rest
}

/// The sum of products of two slices of equal length.
pub fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    dispatch!(isa, dot_body(a: &[f32], b: &[f32]) -> f32)
}

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

#[inline(always)]
fn rms_norm_body<const FMA: bool>(rows: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let mean = dot_body::<FMA>(row, row) / row.len() as f32;
        let scale = 1.0 / (mean + eps).sqrt();
        for ((o, x), w) in out.iter_mut().zip(row).zip(weight) {
            *o = w * (x * scale);
        }
    }
}

/// Root-mean-square normalisation of each row of `rows` `[n, weight.len()]` into `out`.
pub fn rms_norm(isa: Isa, rows: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    dispatch!(isa, rms_norm_body(rows: &[f32], weight: &[f32], eps: f32, out: &mut [f32]));
}

#[inline(always)]
fn low_rank_body<const FMA: bool>(a: &[f32], b: &[f32], x: &[f32], low: &mut [f32], y: &mut [f32]) {
    for (low, a) in low.iter_mut().zip(a.chunks_exact(x.len())) {
        *low = dot_body::<FMA>(a, x);
    }
    for (y, b) in y.iter_mut().zip(b.chunks_exact(low.len())) {
        *y += dot_body::<FMA>(b, low);
    }
}

/// `y += b (a x)` for each of `n` rows: `x` `[n, columns]`, `a` `[rank, columns]`, `b` `[rows, rank]`, `y` `[n, rows]`. `low` is scratch,
/// `[n, rank]`.
pub fn add_low_rank(isa: Isa, a: &[f32], b: &[f32], x: &[f32], n: usize, low: &mut [f32], y: &mut [f32]) {
    let (columns, rank, rows) = (x.len() / n.max(1), low.len() / n.max(1), y.len() / n.max(1));
    if columns == 0 || rank == 0 {
        return;
    }
    let (low, y) = (Output::new(low), Output::new(y));
    for_each(n, |row| {
        // SAFETY: no two calls have the same number.
        let (low, y) = unsafe { (low.part(row * rank, rank), y.part(row * rows, rows)) };
        let x = &x[row * columns..][..columns];
        dispatch!(isa, low_rank_body(a: &[f32], b: &[f32], x: &[f32], low: &mut [f32], y: &mut [f32]));
    });
}
