//! Packing of f32 values into the storage types of weights: the inverse of [`super::blocks`].
//!
//! The 4-bit types look for the scale and offset of each group of 32 values that minimise the weighted squared error
//! `sum w (x - (scale q + offset))^2`: several scales are tried, values rounded with each, and scale and offset then
//! solved for by least squares with the rounded values held. The idea is llama.cpp's (`make_qkx2_quants` in
//! ggml-quants.c). Eight groups are fitted side by side, one in each lane, so that the loops vectorise without sums
//! across lanes.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::blocks::{chunks, WeightType};
use crate::error::{Error, Result};

/// Values in a group of the 4-bit types.
const GROUP: usize = 32;
/// Groups that are fitted side by side; a Q4_K block has as many.
const LANES: usize = 8;
/// Values that one task packs, at least.
const TASK: usize = 64 * 1024;
/// Largest 4-bit value.
const TOP: f32 = 15.0;
/// Largest 6-bit scale or minimum.
const TOP6: f32 = 63.0;

/// What the range of a group is divided by to get the scales to try, less 15: below 0 the range is wider than the
/// values need, above 0 the outermost are cut off.
const STEPS: [f32; 16] = [-0.9, -0.7, -0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 1.8, 2.1, 2.4];
/// How often the best scale and offset are rounded with and solved for again.
const REFINEMENTS: usize = 2;
/// What is tried beside the nearest 6-bit scale and minimum.
const NEIGHBOURS: [(f32, f32); 9] =
    [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)];

/// One number of each of eight groups.
type Lanes = [f32; LANES];
/// Eight groups, value by value: `[value][group]`.
type Groups = [Lanes; GROUP];

/// Appends `values` packed as `kind` (F32, F16, Q8_0, Q4_1 or Q4_K) to `out`: whole rows, one after another.
///
/// F16 rounds to the nearest, ties to even. Q8_0 takes `max |x| / 127` as scale, as ggml does, and rounds with the
/// scale as stored, so that no value is off by more than half a step. Runs on rayon's current pool; the bytes do not
/// depend on the number of threads. On an error `out` is as it was.
///
/// # Errors
/// `invalid_argument` for another `kind`, a length that blocks do not divide, values that are not finite, and values
/// whose scale or offset does not fit f16.
pub fn pack(kind: WeightType, values: &[f32], out: &mut Vec<u8>) -> Result<()> {
    let pack_blocks: fn(&[f32], &mut [u8]) -> bool = match kind {
        WeightType::F32 => pack_f32,
        WeightType::F16 => pack_f16,
        WeightType::Q8_0 => pack_q8_0,
        WeightType::Q4_1 => pack_q4_1,
        WeightType::Q4K => pack_q4_k,
        WeightType::Q4_0 | WeightType::Q6K => {
            return Err(Error::invalid_argument(format!(
                "weights cannot be packed as {}; f32, f16, q8_0, q4_1 and q4_k can",
                kind.name()
            )))
        }
    };
    let size = kind.row_bytes(values.len()).ok_or_else(|| {
        Error::invalid_argument(format!(
            "{} values cannot be packed as {}, which takes blocks of {}",
            values.len(),
            kind.name(),
            kind.block_len()
        ))
    })?;
    if let Some(at) = values.par_chunks(TASK).enumerate().find_map_first(|(i, v)| Some(i * TASK + not_finite(v)?)) {
        let value = values.get(at).copied().unwrap_or(f32::NAN);
        return Err(Error::invalid_argument(format!("value {at} of the weights is {value}; weights must be finite")));
    }
    let start = out.len();
    out.resize(start + size, 0);
    let packed = out.get_mut(start..).unwrap_or_default();
    let task_bytes = TASK / kind.block_len() * kind.block_bytes();
    let fits = values.par_chunks(TASK).zip(packed.par_chunks_mut(task_bytes)).all(|(v, p)| pack_blocks(v, p));
    if !fits {
        out.truncate(start);
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        return Err(Error::invalid_argument(format!(
            "the weights are too large for {}: magnitudes go up to {largest}, beyond what its 16-bit floats hold",
            kind.name()
        )));
    }
    Ok(())
}

fn not_finite(values: &[f32]) -> Option<usize> {
    // Without a branch in the loop it vectorises; the place is looked for in the bad case only.
    let all = values.iter().fold(true, |all, v| all & (v.abs() < f32::INFINITY));
    if all {
        return None;
    }
    values.iter().position(|v| !v.is_finite())
}

fn pack_f32(values: &[f32], out: &mut [u8]) -> bool {
    for (o, v) in out.chunks_exact_mut(4).zip(values) {
        o.copy_from_slice(&v.to_le_bytes());
    }
    true
}

fn pack_f16(values: &[f32], out: &mut [u8]) -> bool {
    let mut halves = [f16::ZERO; 256];
    let mut fits = true;
    for (values, out) in values.chunks(256).zip(out.chunks_mut(512)) {
        let Some(halves) = halves.get_mut(..values.len()) else { continue };
        halves.convert_from_f32_slice(values);
        for (o, h) in out.chunks_exact_mut(2).zip(halves) {
            fits &= h.is_finite();
            o.copy_from_slice(&h.to_le_bytes());
        }
    }
    fits
}

fn pack_q8_0(values: &[f32], out: &mut [u8]) -> bool {
    let mut fits = true;
    for (x, out) in chunks::<GROUP, _>(values).zip(out.chunks_exact_mut(34)) {
        let mut lanes = [0f32; LANES];
        for x in chunks::<LANES, _>(x) {
            for l in 0..LANES {
                lanes[l] = larger(lanes[l], x[l].abs());
            }
        }
        let largest = lanes.iter().fold(0f32, |m, &v| larger(m, v));
        let scale = half_scale(largest / 127.0);
        fits &= scale.is_finite();
        let inverse = reciprocal(scale.to_f32());
        out[..2].copy_from_slice(&scale.to_le_bytes());
        for (q, x) in out[2..].iter_mut().zip(x) {
            *q = round(clamp(x * inverse, -127.0, 127.0)) as i32 as u8;
        }
    }
    fits
}

fn pack_q4_1(values: &[f32], out: &mut [u8]) -> bool {
    let mut fits = true;
    for (values, out) in values.chunks(GROUP * LANES).zip(out.chunks_mut(20 * LANES)) {
        let x = side_by_side(values);
        let even = [[1f32; LANES]; GROUP];
        let fit = fit::<false>(&x, &even);
        let (scale, offset) = (fit.scale.map(half_scale), fit.offset.map(f16::from_f32));
        let stored = Fit { scale: scale.map(f16::to_f32), offset: offset.map(f16::to_f32) };
        let mut q = [[0f32; LANES]; GROUP];
        rounded(&x, &even, &stored, &mut q);
        for (g, out) in out.chunks_exact_mut(20).enumerate() {
            fits &= scale[g].is_finite() && offset[g].is_finite();
            out[..2].copy_from_slice(&scale[g].to_le_bytes());
            out[2..4].copy_from_slice(&offset[g].to_le_bytes());
            let (low, high) = q.split_at(GROUP / 2);
            for ((o, low), high) in out[4..].iter_mut().zip(low).zip(high) {
                *o = byte(low[g]) | (byte(high[g]) << 4);
            }
        }
    }
    fits
}

fn pack_q4_k(values: &[f32], out: &mut [u8]) -> bool {
    let mut fits = true;
    for (values, out) in values.chunks_exact(GROUP * LANES).zip(out.chunks_exact_mut(144)) {
        let x = side_by_side(values);
        let w = importance(&x);
        let fit = fit::<true>(&x, &w);
        let (scale, minimum) = (shared_scale(&fit.scale), shared_scale(&fit.offset.map(|o| -o)));
        fits &= scale.is_finite() && minimum.is_finite();
        out[..2].copy_from_slice(&scale.to_le_bytes());
        out[2..4].copy_from_slice(&minimum.to_le_bytes());
        let (scale, minimum) = (scale.to_f32(), minimum.to_f32());
        let (scales, minima) = six_bits(&x, &w, &fit, scale, minimum);
        let mut q = [[0f32; LANES]; GROUP];
        rounded(&x, &w, &six_bit_fit(&scales, &minima, scale, minimum), &mut q);
        let (scales, minima) = (scales.map(byte), minima.map(byte));
        for g in 0..4 {
            // The top two bits of the upper groups' numbers go above the lower groups' six.
            out[4 + g] = scales[g] | (scales[g + 4] >> 4 << 6);
            out[8 + g] = minima[g] | (minima[g + 4] >> 4 << 6);
            out[12 + g] = (scales[g + 4] & 15) | (minima[g + 4] << 4);
        }
        for (pair, out) in out[16..].chunks_exact_mut(GROUP).enumerate() {
            for (o, q) in out.iter_mut().zip(&q) {
                *o = byte(q[2 * pair]) | (byte(q[2 * pair + 1]) << 4);
            }
        }
    }
    fits
}

/// Scale and offset of eight groups: `x = scale q + offset`.
struct Fit {
    scale: Lanes,
    offset: Lanes,
}

/// The scale and offset for 4-bit values of each group that give the least error weighted by `w`; with `BELOW` the
/// offset is not above zero.
fn fit<const BELOW: bool>(x: &Groups, w: &Groups) -> Fit {
    let (mut low, mut high) = (x[0], x[0]);
    let (mut sw, mut swx) = ([0f32; LANES], [0f32; LANES]);
    for (x, w) in x.iter().zip(w) {
        for l in 0..LANES {
            low[l] = smaller(low[l], x[l]);
            high[l] = larger(high[l], x[l]);
            sw[l] += w[l];
            swx[l] += w[l] * x[l];
        }
    }
    if BELOW {
        low = low.map(|v| smaller(v, 0.0));
    }
    let mut span = high;
    for l in 0..LANES {
        span[l] -= low[l];
    }
    let mut q = [[0f32; LANES]; GROUP];
    let mut best = Fit { scale: span.map(|s| s / TOP), offset: low };
    let mut least = rounded(x, w, &best, &mut q);
    for step in STEPS.map(Some).into_iter().chain([None; REFINEMENTS]) {
        match step {
            Some(step) => rounded(x, w, &Fit { scale: span.map(|s| s / (TOP + step)), offset: low }, &mut q),
            None => rounded(x, w, &best, &mut q),
        };
        let solved = solve::<BELOW>(x, w, &q, &sw, &swx);
        let error = rounded(x, w, &solved, &mut q);
        for l in 0..LANES {
            let better = error[l] < least[l];
            least[l] = if better { error[l] } else { least[l] };
            best.scale[l] = if better { solved.scale[l] } else { best.scale[l] };
            best.offset[l] = if better { solved.offset[l] } else { best.offset[l] };
        }
    }
    best
}

/// Scale and offset of least error weighted by `w` for the values `q`; `sw` and `swx` are the sums of `w` and `w x`.
///
/// Where nothing can be solved for they are not numbers, and so is the error with them, which is less than none.
#[inline(always)]
fn solve<const BELOW: bool>(x: &Groups, w: &Groups, q: &Groups, sw: &Lanes, swx: &Lanes) -> Fit {
    let (mut swq, mut swqq, mut swqx) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
    for ((x, w), q) in x.iter().zip(w).zip(q) {
        for l in 0..LANES {
            let wq = w[l] * q[l];
            swq[l] += wq;
            swqq[l] += wq * q[l];
            swqx[l] += wq * x[l];
        }
    }
    let mut fit = Fit { scale: [0f32; LANES], offset: [0f32; LANES] };
    for l in 0..LANES {
        let determinant = sw[l] * swqq[l] - swq[l] * swq[l];
        let scale = (sw[l] * swqx[l] - swx[l] * swq[l]) / determinant;
        let offset = (swqq[l] * swx[l] - swq[l] * swqx[l]) / determinant;
        let above = BELOW && offset > 0.0;
        fit.scale[l] = if above { swqx[l] / swqq[l] } else { scale };
        fit.offset[l] = if above { 0.0 } else { offset };
    }
    fit
}

/// Rounds `x` to the nearest 4-bit values `q` and gives each group's squared error weighted by `w`.
#[inline(always)]
fn rounded(x: &Groups, w: &Groups, fit: &Fit, q: &mut Groups) -> Lanes {
    let inverse = fit.scale.map(reciprocal);
    let mut sum = [0f32; LANES];
    for ((x, w), q) in x.iter().zip(w).zip(q) {
        for l in 0..LANES {
            q[l] = round(clamp((x[l] - fit.offset[l]) * inverse[l], 0.0, TOP));
            let error = x[l] - (fit.scale[l] * q[l] + fit.offset[l]);
            sum[l] += w[l] * error * error;
        }
    }
    sum
}

/// How much each value's error counts: more for large ones, as llama.cpp does.
fn importance(x: &Groups) -> Groups {
    let mut mean = [0f32; LANES];
    for x in x {
        for l in 0..LANES {
            mean[l] += x[l] * x[l];
        }
    }
    let mean = mean.map(|m| (m / GROUP as f32).sqrt());
    let mut w = *x;
    for w in &mut w {
        for l in 0..LANES {
            w[l] = mean[l] + w[l].abs();
        }
    }
    w
}

/// The nearest half, or the next one up where it is so far below `v` (among subnormals) that 127 steps of it would miss
/// `127 v` by more than half a step.
fn half_scale(v: f32) -> f16 {
    let nearest = f16::from_f32(v);
    if nearest.to_f32() * 127.5 < v * 127.0 {
        f16::from_bits(nearest.to_bits() + 1)
    } else {
        nearest
    }
}

/// A Q4_K block's scale for its groups' `values`.
fn shared_scale(values: &Lanes) -> f16 {
    half_scale(values.iter().fold(0f32, |m, &v| larger(m, v)) / TOP6)
}

/// Multiples from 0 to 63 of `scale` and `minimum` for each group: those nearest to `fit`, or a neighbour with less
/// error.
fn six_bits(x: &Groups, w: &Groups, fit: &Fit, scale: f32, minimum: f32) -> (Lanes, Lanes) {
    let (per_scale, per_minimum) = (reciprocal(scale), reciprocal(minimum));
    let scales = fit.scale.map(|s| round(clamp(s * per_scale, 0.0, TOP6)));
    let minima = fit.offset.map(|o| round(clamp(-o * per_minimum, 0.0, TOP6)));
    let mut best = (scales, minima);
    let mut least = [f32::INFINITY; LANES];
    let mut q = [[0f32; LANES]; GROUP];
    for (ds, dm) in NEIGHBOURS {
        let scales = scales.map(|s| clamp(s + ds, 0.0, TOP6));
        let minima = minima.map(|m| clamp(m + dm, 0.0, TOP6));
        let error = rounded(x, w, &six_bit_fit(&scales, &minima, scale, minimum), &mut q);
        for l in 0..LANES {
            let better = error[l] < least[l];
            least[l] = if better { error[l] } else { least[l] };
            best.0[l] = if better { scales[l] } else { best.0[l] };
            best.1[l] = if better { minima[l] } else { best.1[l] };
        }
    }
    best
}

fn six_bit_fit(scales: &Lanes, minima: &Lanes, scale: f32, minimum: f32) -> Fit {
    Fit { scale: scales.map(|s| s * scale), offset: minima.map(|m| -m * minimum) }
}

/// Up to eight groups side by side; groups that are not there are zero.
#[inline(always)]
fn side_by_side(values: &[f32]) -> Groups {
    let mut out = [[0f32; LANES]; GROUP];
    for (g, group) in chunks::<GROUP, _>(values).take(LANES).enumerate() {
        for (out, v) in out.iter_mut().zip(group) {
            out[g] = *v;
        }
    }
    out
}

/// The nearest integer, ties to even; for magnitudes below 2^22.
#[inline(always)]
fn round(v: f32) -> f32 {
    // At this magnitude f32 has steps of one; `round_ties_even` is a library call without SSE4.1.
    const STEPS_OF_ONE: f32 = 12_582_912.0;
    (v + STEPS_OF_ONE) - STEPS_OF_ONE
}

/// A small integer as a byte.
#[inline(always)]
fn byte(v: f32) -> u8 {
    v as i32 as u8
}

// Not `min` and `max`: those treat NaN, which takes more instructions.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a {
        b
    } else {
        a
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a {
        b
    } else {
        a
    }
}

#[inline(always)]
fn clamp(v: f32, low: f32, high: f32) -> f32 {
    smaller(larger(v, low), high)
}

/// `1 / v`, or 0 for 0.
#[inline(always)]
fn reciprocal(v: f32) -> f32 {
    if v == 0.0 {
        0.0
    } else {
        1.0 / v
    }
}

impl WeightType {
    /// ggml's number for the type, as GGUF files give it.
    pub const fn ggml_code(self) -> u32 {
        match self {
            WeightType::F32 => 0,
            WeightType::F16 => 1,
            WeightType::Q4_0 => 2,
            WeightType::Q4_1 => 3,
            WeightType::Q8_0 => 8,
            WeightType::Q4K => 12,
            WeightType::Q6K => 14,
        }
    }

    /// The type's name in lower case, as llama.cpp writes it.
    pub const fn name(self) -> &'static str {
        match self {
            WeightType::F32 => "f32",
            WeightType::F16 => "f16",
            WeightType::Q4_0 => "q4_0",
            WeightType::Q4_1 => "q4_1",
            WeightType::Q8_0 => "q8_0",
            WeightType::Q4K => "q4_k",
            WeightType::Q6K => "q6_k",
        }
    }
}

#[cfg(test)]
mod tests;
