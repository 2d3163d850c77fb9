//! The models on candle's CPU device against this library's own. Nothing here runs on a GPU.

mod attention;
mod encoders;
mod failure;
mod llama;
mod llama_caches;
mod llama_file;
mod llama_prefix;
mod packs;
mod weights;

use super::{DType, Device, Place};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::llama::Llama;

/// Largest difference of values computed twice in f32, relative to the largest value: the order of additions, and another exponential.
const F32_ERROR: f32 = 1e-4;
/// The same where one of the two computes in f16, whose values have 11 bits, through a few layers.
const F16_ERROR: f32 = 2e-2;

/// Candle's CPU device.
fn place(dtype: DType) -> Place {
    Place::new(Device::Cpu, dtype).unwrap()
}

/// `count` numbers in -1..1 that look random and are always the same.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The largest difference of two slices, relative to the largest value of `expected`.
#[track_caller]
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0f32, |most, v| if v.is_nan() || v.abs() > most { v.abs() } else { most })
    };
    let scale = largest(&mut expected.iter().copied());
    assert!(scale > 0.0, "nothing but zeros is expected");
    largest(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / scale
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], most: f32, what: &str) {
    let difference = difference(found, expected);
    println!("{what}: differs by {difference:.1e}");
    assert!(difference <= most, "{what}: differs by {difference:e}, allowed are {most:e}");
}

/// Makes `model` behave as after a failure of its GPU.
fn lose_device(model: &Llama) -> Error {
    let placed = model.placed().expect("the model is on a device");
    placed.run(|_| Err::<(), _>(Error::unreachable("unplugged"))).unwrap_err()
}

/// `model` on candle's CPU device, as exact as `dtype`.
fn moved(mut model: Llama, dtype: DType) -> Result<Llama> {
    model.set_precision(Precision::Full);
    model.move_to_device(&place(dtype))?;
    Ok(model)
}
