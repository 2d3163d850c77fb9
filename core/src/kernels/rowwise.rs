//! The f32 loops of a layer that go over rows: layer normalisation, exact GELU, SiLU gates, softmax.

use super::dense::{dispatch, fused};
use super::{chunks, Isa};

const LANES: usize = 16;

/// The sum of `term` over a row, in sixteen partial sums.
macro_rules! lane_sum {
    ($row:expr, |$x:ident| $term:expr) => {{
        let mut lanes = [0f32; LANES];
        for chunk in chunks::<LANES, _>($row) {
            for (lane, &$x) in lanes.iter_mut().zip(chunk) {
                *lane += $term;
            }
        }
        let mut rest = 0f32;
        for &$x in $row.chunks_exact(LANES).remainder() {
            rest += $term;
        }
        lanes.iter().sum::<f32>() + rest
    }};
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(rows: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = lane_sum!(row, |x| x) / width as f32;
        let variance = lane_sum!(row, |x| (x - mean) * (x - mean)) / width as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for (((o, x), w), b) in out.iter_mut().zip(row).zip(weight).zip(bias) {
            *o = fused::<FMA>((x - mean) * scale, *w, *b);
        }
    }
}

/// Layer normalisation of each row of `rows` `[n, weight.len()]` into `out`: zero mean, unit (population) variance, then
/// `weight` and `bias`. The variance is taken around the mean, in a second pass.
pub fn layer_norm(isa: Isa, rows: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    if !weight.is_empty() {
        dispatch!(
            isa,
            layer_norm_body(rows: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32])
        );
    }
}

/// The error function to 2e-8, from where on f32 cannot tell. A rational function fitted to `erf(x) / x` over `x²` on
/// `[0, 4]`; beyond 4 it is 1 within that error.
#[inline(always)]
fn erf(x: f64) -> f64 {
    const P: [f64; 6] =
        [1.1283791867, 0.19258459711, 0.055833597053, 0.0042302567081, 0.00041667156636, 7.0100097147e-06];
    const Q: [f64; 7] =
        [1.0, 0.50400726228, 0.11748241227, 0.016321180161, 0.0014288581088, 7.4148397186e-05, 2.7227905323e-07];
    let x = x.clamp(-4.0, 4.0);
    let t = x * x;
    let (mut p, mut q) = (P[5], Q[6]);
    for i in (0..5).rev() {
        p = p * t + P[i];
    }
    for i in (0..6).rev() {
        q = q * t + Q[i];
    }
    x * p / q
}

#[inline(always)]
fn gelu_body<const FMA: bool>(x: &mut [f32]) {
    for v in x {
        let wide = f64::from(*v);
        *v = (0.5 * wide * (1.0 + erf(wide * std::f64::consts::FRAC_1_SQRT_2))) as f32;
    }
}

/// The exact GELU `x Φ(x)`, in place (Hendrycks and Gimpel 2016, with the error function, not the tanh form).
pub fn gelu(isa: Isa, x: &mut [f32]) {
    dispatch!(isa, gelu_body(x: &mut [f32]));
}

/// `exp(x)` for `x <= 0`, to 2e-7 of the value; 0 where that would be subnormal.
#[inline(always)]
pub(super) fn exp_of_negative<const FMA: bool>(x: f32) -> f32 {
    // Adding this leaves the nearest integer in the low bits of the sum's mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(-87.0);
    let shifted = fused::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fused::<FMA>(n, -LN_2_LOW, fused::<FMA>(n, -LN_2_HIGH, clamped));
    let mut p = 0.001_381_460_3;
    for c in [0.008_368_71, 0.041_668_39, 0.166_665_2, 0.499_999_93, 1.0, 1.0] {
        p = fused::<FMA>(p, r, c);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 {
        0.0
    } else {
        p * power
    }
}

#[inline(always)]
fn silu_mul_body<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        // The exponential of a negative number cannot overflow.
        let e = exp_of_negative::<FMA>(-g.abs());
        let numerator = if *g < 0.0 { e } else { 1.0 };
        *g = *g * numerator / (1.0 + e) * u;
    }
}

/// `gate = silu(gate) * up`, element by element.
pub fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    dispatch!(isa, silu_mul_body(gate: &mut [f32], up: &[f32]));
}

#[inline(always)]
pub(super) fn softmax_body<const FMA: bool>(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in chunks::<LANES, _>(row) {
            lanes = std::array::from_fn(|i| lanes[i].max(chunk[i]));
        }
        let rest = row.chunks_exact(LANES).remainder();
        let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
        for x in row.iter_mut() {
            *x = exp_of_negative::<FMA>(*x - max);
        }
        let scale = 1.0 / lane_sum!(row, |x| x);
        for x in row.iter_mut() {
            *x *= scale;
        }
    }
}

/// Softmax of each row of `rows` `[n, width]`, in place.
pub fn softmax_rows(isa: Isa, rows: &mut [f32], width: usize) {
    if width > 0 {
        dispatch!(isa, softmax_body(rows: &mut [f32], width: usize));
    }
}
