//! Dense layers of every storage type.

use super::super::download;
use super::super::weights::Linear;
use super::{assert_near, noise, place, DType, F16_ERROR, F32_ERROR};
use crate::kernels::{Isa, Precision, WeightType, Weights};

const ROWS: usize = 24;
const COLUMNS: usize = 512;
/// Largest difference, relative, of candle's products with activations of 8 bits.
const ROUNDED_ERROR: f32 = 0.02;
const KINDS: [WeightType; 7] = [
    WeightType::F32,
    WeightType::F16,
    WeightType::Q4_0,
    WeightType::Q4_1,
    WeightType::Q8_0,
    WeightType::Q4K,
    WeightType::Q6K,
];

/// Blocks of random bits with scales of one size.
fn random_blocks(kind: WeightType) -> Vec<u8> {
    let scale = half::f16::from_f32(0.01).to_le_bytes();
    let count = ROWS * COLUMNS / kind.block_len();
    let bits = |seed: usize| noise(seed as u64 + 7, kind.block_bytes()).into_iter().map(|v| (v * 127.0) as i8 as u8);
    let mut bytes = Vec::new();
    for i in 0..count {
        let mut block: Vec<u8> = bits(i).collect();
        match kind {
            WeightType::F32 => block = noise(i as u64 + 1, 1)[0].to_le_bytes().to_vec(),
            WeightType::F16 => block = half::f16::from_f32(noise(i as u64 + 1, 1)[0]).to_le_bytes().to_vec(),
            WeightType::Q4_0 | WeightType::Q8_0 => block[..2].copy_from_slice(&scale),
            WeightType::Q4_1 | WeightType::Q4K => {
                block[..2].copy_from_slice(&scale);
                block[2..4].copy_from_slice(&scale);
            }
            WeightType::Q6K => block[208..].copy_from_slice(&scale),
        }
        bytes.extend(block);
    }
    bytes
}

/// `x W^T + b` in f64.
fn expected(weights: Weights<'_>, x: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut unpacked = vec![0f32; ROWS * COLUMNS];
    weights.unpack_rows(Isa::Portable, 0, &mut unpacked);
    let row = |x: &[f32]| -> Vec<f32> {
        let dot = |w: &[f32]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
        unpacked.chunks_exact(COLUMNS).zip(bias).map(|(w, b)| (dot(w) + f64::from(*b)) as f32).collect()
    };
    x.chunks_exact(COLUMNS).flat_map(row).collect()
}

#[test]
fn products_agree_for_every_type_and_number_of_rows() {
    let bias = noise(3, ROWS);
    for kind in KINDS {
        let bytes = random_blocks(kind);
        let weights = Weights { bytes: &bytes, kind, rows: ROWS, columns: COLUMNS };
        let [single, half] = [DType::F32, DType::F16].map(place);
        let layer = Linear::new(weights, Some(&bias), &single).unwrap();
        let half_layer = Linear::new(weights, Some(&bias), &half).unwrap();
        for n in [1, 9, 65] {
            let x = noise(n as u64, n * COLUMNS);
            let expected = expected(weights, &x, &bias);
            let rows = single.upload(&x, &[n, COLUMNS]).unwrap();
            let what = |name: &str| format!("{kind:?}, {n} rows, {name}");
            let found = download(&layer.forward(&rows, Precision::Full).unwrap()).unwrap();
            assert_near(&found, &expected, F32_ERROR, &what("f32"));
            let found = download(&layer.forward(&rows, Precision::Fast).unwrap()).unwrap();
            assert_near(&found, &expected, ROUNDED_ERROR, &what("rounded"));
            let rows = half.upload(&x, &[n, COLUMNS]).unwrap();
            let found = download(&half_layer.forward(&rows, Precision::Full).unwrap()).unwrap();
            assert_near(&found, &expected, F16_ERROR, &what("f16"));
        }
    }
}

#[test]
fn weights_may_lie_at_any_address() {
    let x = noise(1, COLUMNS);
    for kind in KINDS {
        let bytes = random_blocks(kind);
        let mut room = vec![0u8; bytes.len() + 1];
        let odd = usize::from(room.as_ptr().addr().is_multiple_of(2));
        room[odd..odd + bytes.len()].copy_from_slice(&bytes);
        let product = |bytes: &[u8]| {
            let weights = Weights { bytes, kind, rows: ROWS, columns: COLUMNS };
            let single = place(DType::F32);
            let layer = Linear::new(weights, None, &single).unwrap();
            let rows = single.upload(&x, &[1, COLUMNS]).unwrap();
            download(&layer.forward(&rows, Precision::Full).unwrap()).unwrap()
        };
        assert_eq!(product(&room[odd..odd + bytes.len()]), product(&bytes), "{kind:?}");
    }
}
