use half::f16;
use proptest::prelude::*;

use super::super::blocks::unpack;
use super::*;

const KINDS: [WeightType; 5] = [WeightType::F32, WeightType::F16, WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K];
/// Rounding to a half, relative.
const HALF_ERROR: f32 = 1.0 / 2048.0;
/// Step of subnormal halves.
const HALF_STEP: f32 = 1.0 / 16_777_216.0;

/// Normally distributed values of standard deviation 1.
fn gaussian(n: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..n).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

fn there_and_back(kind: WeightType, values: &[f32]) -> Vec<f32> {
    let mut bytes = Vec::new();
    pack(kind, values, &mut bytes).unwrap();
    assert_eq!(bytes.len(), kind.row_bytes(values.len()).unwrap());
    let mut out = vec![f32::NAN; values.len()];
    unpack(kind, &bytes, &mut out);
    out
}

fn rms(values: impl ExactSizeIterator<Item = f32>) -> f64 {
    let n = values.len() as f64;
    (values.map(|v| f64::from(v).powi(2)).sum::<f64>() / n).sqrt()
}

fn rms_error(kind: WeightType, values: &[f32]) -> f64 {
    let back = there_and_back(kind, values);
    rms(values.iter().zip(&back).map(|(a, b)| a - b).collect::<Vec<_>>().into_iter())
}

#[test]
fn codes_and_names_fit_the_types() {
    for code in 0..64 {
        if let Some(kind) = WeightType::from_ggml(code) {
            assert_eq!(kind.ggml_code(), code);
        }
    }
    for kind in KINDS {
        assert_eq!(WeightType::from_ggml(kind.ggml_code()), Some(kind));
    }
    assert_eq!(WeightType::Q4K.name(), "q4_k");
    assert_eq!(WeightType::F16.name(), "f16");
}

#[test]
fn gaussian_weights_lose_little() {
    // Q4_1 by the range alone, as ggml packs it, loses 0.0783.
    let limits = [
        (WeightType::F32, 0.0),
        (WeightType::F16, 0.00022),
        (WeightType::Q8_0, 0.0055),
        (WeightType::Q4_1, 0.0705),
        (WeightType::Q4K, 0.0715),
    ];
    // A length that is not made of whole sets of eight groups where the type allows it.
    for (kind, limit) in limits {
        let n = if kind == WeightType::Q4K { 256 * 100 } else { 256 * 100 + 96 };
        for std in [0.02f32, 1.0, 100.0] {
            let values: Vec<f32> = gaussian(n).iter().map(|v| v * std).collect();
            let error = rms_error(kind, &values) / f64::from(std);
            assert!(error <= limit, "{}: {error}, allowed is {limit}", kind.name());
        }
    }
}

#[test]
fn uniform_weights_come_within_half_a_step() {
    // Each group has 16 evenly spaced values, which 4 bits hold: only the stored scales' rounding is left.
    let values: Vec<f32> = (0..1024).map(|i| -0.75 + 0.1 * (i * 7 % 16) as f32).collect();
    for (kind, limit) in [(WeightType::Q4_1, 0.001), (WeightType::Q4K, 0.001)] {
        for (a, b) in values.iter().zip(there_and_back(kind, &values)) {
            assert!((a - b).abs() < limit, "{}: {a} came back as {b}", kind.name());
        }
    }
}

#[test]
fn equal_values_stay_equal() {
    for kind in KINDS {
        for value in [1.0f32, -1.0, 0.02, -3.7e-3, 1234.5] {
            // Q4_K's two scales are a 945th of the value, where halves may be subnormal.
            let limit = 1.5 * HALF_ERROR * value.abs() + if kind == WeightType::Q4K { 945.0 * HALF_STEP } else { 0.0 };
            for back in there_and_back(kind, &[value; 512]) {
                assert!((back - value).abs() <= limit, "{}: {back}, was {value}", kind.name());
            }
        }
    }
}

#[test]
fn zero_stays_zero() {
    for kind in KINDS {
        for zero in [0.0f32, -0.0] {
            assert!(there_and_back(kind, &[zero; 512]).iter().all(|v| *v == 0.0), "{}", kind.name());
        }
        // A block of zeros among others.
        let mut values = gaussian(768);
        values[256..512].fill(0.0);
        assert!(there_and_back(kind, &values)[256..512].iter().all(|v| *v == 0.0), "{}", kind.name());
    }
}

#[test]
fn an_outlier_spoils_its_own_block_only() {
    let clean = gaussian(1024);
    for kind in [WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K] {
        let mut values = clean.clone();
        values[300] = 1000.0;
        let (plain, back) = (there_and_back(kind, &clean), there_and_back(kind, &values));
        let n = kind.block_len();
        let block = 300 / n * n..300 / n * n + n;
        for i in (0..1024).filter(|i| !block.contains(i)) {
            assert_eq!(back[i], plain[i], "{} at {i}", kind.name());
        }
        assert!((back[300] - 1000.0).abs() < 10.0, "{}: the outlier became {}", kind.name(), back[300]);
        let others = block.filter(|&i| i != 300).map(|i| values[i] - back[i]).collect::<Vec<_>>();
        // Never much worse than leaving them out.
        assert!(rms(others.into_iter()) < 2.5, "{}", kind.name());
    }
}

#[test]
fn tiny_values_come_within_the_step_of_halves() {
    for kind in [WeightType::F16, WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K] {
        for magnitude in [1e-4f32, 1e-5, 1e-6, 1e-7, 1e-9, 1e-20, 1e-38, 1e-42] {
            let values: Vec<f32> = gaussian(512).iter().map(|v| v * magnitude).collect();
            for (a, b) in values.iter().zip(there_and_back(kind, &values)) {
                // Half a step of the widest group of 16 levels, and what halves as small as these are off by.
                let limit = 4.0 * magnitude / 15.0 + 8.0 * HALF_STEP;
                assert!((a - b).abs() <= limit, "{} at {magnitude:e}: {a:e} came back as {b:e}", kind.name());
            }
        }
        let values: Vec<f32> = gaussian(512).iter().map(|v| v * 1e-3).collect();
        assert!(rms_error(kind, &values) < 0.075e-3, "{}", kind.name());
    }
}

#[test]
fn halves_are_rounded_to_nearest_even() {
    let values = [1.0 + HALF_ERROR, 1.0 + 3.0 * HALF_ERROR, 65504.0, 65519.9, 6e-8, 2e-8, -0.1];
    let mut bytes = Vec::new();
    pack(WeightType::F16, &values, &mut bytes).unwrap();
    let expected: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    assert_eq!(bytes, expected);
    assert_eq!(there_and_back(WeightType::F16, &values)[..2], [1.0, 1.0 + 4.0 * HALF_ERROR]);
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let mut out = vec![7u8];
    let mut refused = |kind, values: &[f32], wanted: &str| {
        let error = pack(kind, values, &mut out).unwrap_err();
        assert_eq!(error.name(), "invalid_argument");
        assert!(error.message.contains(wanted), "{error}");
        assert_eq!(out, [7], "the output is as it was");
    };
    refused(WeightType::Q6K, &[0.0; 256], "q6_k");
    refused(WeightType::Q4_0, &[0.0; 32], "q4_0");
    refused(WeightType::Q8_0, &[0.0; 33], "blocks of 32");
    refused(WeightType::Q4K, &[0.0; 128], "blocks of 256");
    for kind in KINDS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = gaussian(2 * TASK);
            values[TASK + 5] = bad;
            refused(kind, &values, &format!("value {} ", TASK + 5));
        }
    }
    for kind in [WeightType::F16, WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K] {
        for large in [f32::MAX, -f32::MAX, 1e20, -1e9] {
            let mut values = gaussian(512);
            values[40] = large;
            refused(kind, &values, "too large");
            values[41] = -large;
            refused(kind, &values, "too large");
            refused(kind, &[large; 256], "too large");
        }
    }
    refused(WeightType::F16, &[65520.0], "too large");
}

#[test]
fn nothing_packs_to_nothing_and_rows_are_appended() {
    for kind in KINDS {
        let mut out = vec![1, 2, 3];
        pack(kind, &[], &mut out).unwrap();
        assert_eq!(out, [1, 2, 3]);
        let values = gaussian(512);
        pack(kind, &values[..256], &mut out).unwrap();
        pack(kind, &values[256..], &mut out).unwrap();
        let mut whole = Vec::new();
        pack(kind, &values, &mut whole).unwrap();
        assert_eq!(out[3..], whole, "{}", kind.name());
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let values = gaussian(3 * TASK + 512);
    for kind in KINDS {
        let packed = [1, 2, 3].map(|threads| {
            let mut out = Vec::new();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pack(kind, &values, &mut out)).unwrap();
            out
        });
        assert_eq!(packed[0], packed[1]);
        assert_eq!(packed[0], packed[2]);
    }
}

proptest! {
    #[test]
    fn q8_0_is_off_by_half_a_step_at_most(
        block in prop::collection::vec(-1.0f32..1.0, 32),
        power in -30i32..20,
    ) {
        let values: Vec<f32> = block.iter().map(|v| v * 2f32.powi(power)).collect();
        let mut bytes = Vec::new();
        pack(WeightType::Q8_0, &values, &mut bytes).unwrap();
        let step = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        prop_assert!((step - largest / 127.0).abs() <= HALF_ERROR * step + HALF_STEP);
        for (a, b) in values.iter().zip(there_and_back(WeightType::Q8_0, &values)) {
            prop_assert!((a - b).abs() <= 0.500_1 * step, "{} came back as {} with steps of {}", a, b, step);
        }
    }

    #[test]
    fn four_bits_stay_within_the_range(values in prop::collection::vec(-10.0f32..10.0, 256)) {
        for kind in [WeightType::Q4_1, WeightType::Q4K] {
            // The fit may cut a little off at either end, and zero counts as inside for Q4_K.
            let high = values.iter().fold(0f32, |m, v| m.max(*v));
            let low = values.iter().fold(0f32, |m, v| m.min(*v));
            let margin = 0.15 * (high - low);
            for v in there_and_back(kind, &values) {
                prop_assert!(v >= low - margin && v <= high + margin, "{}: {} of {}..{}", kind.name(), v, low, high);
            }
        }
    }

    #[test]
    fn any_bits_are_packed_or_refused(bits in prop::collection::vec(any::<u32>(), 0..600), cut in 0usize..3) {
        let values: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).collect();
        for kind in KINDS {
            let whole = values.len() / kind.block_len() * kind.block_len();
            let mut out = Vec::new();
            for values in [&values[..values.len() - cut.min(values.len())], &values[..whole]] {
                out.clear();
                if pack(kind, values, &mut out).is_ok() {
                    let mut back = vec![0f32; values.len()];
                    unpack(kind, &out, &mut back);
                    prop_assert!(back.iter().all(|v| v.is_finite()));
                }
            }
        }
    }
}
