use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;
use crate::cancel::CancelToken;

const KINDS: [WeightType; 7] = [
    WeightType::F32,
    WeightType::F16,
    WeightType::Q4_0,
    WeightType::Q4_1,
    WeightType::Q8_0,
    WeightType::Q4K,
    WeightType::Q6K,
];
/// Error of a sum relative to the sum of its terms' magnitudes.
const SUM_ERROR: f32 = 2e-6;

fn builds() -> Vec<Isa> {
    let mut builds = vec![Isa::Portable];
    #[cfg(target_arch = "x86_64")]
    if Isa::detect() == Isa::Avx512 {
        builds.push(Isa::Avx2);
    }
    if Isa::detect() != Isa::Portable {
        builds.push(Isa::detect());
    }
    builds
}

/// Random packed rows with sensible scales, from a linear congruential generator.
fn packed(kind: WeightType, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    let mut bytes: Vec<u8> = (0..rows * kind.row_bytes(columns).unwrap()).map(|_| next() as u8).collect();
    // Halves between 0.03 and 0.06, either sign; floats between 0.5 and 1.
    let mut scale = |at: &mut [u8]| at.copy_from_slice(&(0x2800u16 | (next() as u16 & 0x83ff)).to_le_bytes());
    for block in bytes.chunks_exact_mut(kind.block_bytes()) {
        match kind {
            WeightType::F32 => block[3] = 0x3f,
            WeightType::Q6K => scale(&mut block[208..210]),
            WeightType::Q4_1 | WeightType::Q4K => {
                scale(&mut block[..2]);
                scale(&mut block[2..4]);
            }
            _ => scale(&mut block[..2]),
        }
    }
    bytes
}

fn activations(n: usize, seed: u64) -> Vec<f32> {
    (0..n).map(|i| ((i as f32 + 1.0) * (seed % 97 + 3) as f32 * 0.7137).sin()).collect()
}

/// The product by definition, in f64, with the sum of magnitudes of each element's terms.
fn naive(x: &[f32], w: &[f32], n: usize, rows: usize, columns: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for i in 0..n {
        for j in 0..rows {
            let terms = (0..columns).map(|k| f64::from(x[i * columns + k]) * f64::from(w[j * columns + k]));
            out.push(terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs())));
        }
    }
    out
}

fn assert_close(ours: &[f32], exact: &[(f64, f64)], rounding: f64, what: &str) {
    assert_eq!(ours.len(), exact.len());
    for (i, (&y, &(sum, size))) in ours.iter().zip(exact).enumerate() {
        let error = (f64::from(y) - sum).abs();
        assert!(error <= f64::from(SUM_ERROR) * size + rounding + 1e-9, "{what}: element {i} is {y}, exactly {sum}");
    }
}

/// What rounding `columns` activations of at most 1 to 16 bits may change in a product with weights of [`packed`].
fn rounding(kind: WeightType, columns: usize) -> f64 {
    let largest = match kind {
        WeightType::F32 | WeightType::F16 | WeightType::Q6K => return 0.0,
        WeightType::Q4_0 | WeightType::Q4_1 => 15.0,
        WeightType::Q8_0 => 128.0,
        WeightType::Q4K => 63.0 * 15.0,
    };
    // All errors of half a step the same way; scales are below 1/16.
    columns as f64 * largest / 16.0 / 65534.0
}

#[test]
fn unpacking_is_that_of_gguf() {
    let bytes = include_bytes!("../../tests/data/llama/quants.safetensors");
    let cases = SafeTensors::deserialize(bytes).unwrap();
    let kinds = [
        ("Q4_0", WeightType::Q4_0),
        ("Q4_1", WeightType::Q4_1),
        ("Q8_0", WeightType::Q8_0),
        ("Q4_K", WeightType::Q4K),
        ("Q6_K", WeightType::Q6K),
    ];
    for (name, kind) in kinds {
        let packed = cases.tensor(&format!("{name}.packed")).unwrap();
        let expected: Vec<f32> = cases
            .tensor(&format!("{name}.values"))
            .unwrap()
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        assert_eq!(expected.len(), 3 * kind.block_len());
        for isa in builds() {
            let mut ours = vec![0f32; expected.len()];
            Weights { bytes: packed.data(), kind, rows: 1, columns: expected.len() }.unpack_rows(isa, 0, &mut ours);
            for (a, b) in ours.iter().zip(&expected) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(0.1), "{name} on {isa:?}: {a}, expected {b}");
            }
        }
    }
}

#[test]
fn halves_are_exact() {
    for bits in 0..=u16::MAX {
        let exact = ::half::f16::from_bits(bits).to_f32();
        if exact.is_finite() {
            assert_eq!(half(bits.to_le_bytes()).to_bits(), exact.to_bits(), "half {bits:#06x}");
        }
        assert!(half(bits.to_le_bytes()).is_finite());
    }
}

#[test]
fn rows_that_do_not_fill_blocks_are_refused() {
    assert_eq!(WeightType::Q4_1.row_bytes(33), None);
    assert_eq!(WeightType::Q6K.row_bytes(128), None);
    assert_eq!(WeightType::F32.row_bytes(usize::MAX), None);
    assert_eq!(WeightType::Q8_0.row_bytes(64), Some(68));
}

#[test]
fn a_product_of_several_parts_is_exact() {
    // More rows than a task has, more columns than are summed at a time, neither a multiple.
    let (n, rows, columns) = (61, 70, 1_100);
    let x = activations(n * columns, 5);
    for (kind, isa) in
        [WeightType::F16, WeightType::F32].into_iter().flat_map(|kind| builds().into_iter().map(move |isa| (kind, isa)))
    {
        let bytes = packed(kind, rows, columns, 3);
        let weights = Weights { bytes: &bytes, kind, rows, columns };
        let mut out = vec![f32::NAN; n * rows];
        matmul(isa, Precision::Full, &x, n, [weights], [&mut out], &CancelToken::new());
        let mut unpacked = vec![0f32; rows * columns];
        weights.unpack_rows(Isa::Portable, 0, &mut unpacked);
        assert_close(&out, &naive(&x, &unpacked, n, rows, columns), 0.0, &format!("{kind:?} on {isa:?}"));
    }
}

#[test]
fn a_cancelled_product_does_no_work() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let bytes = packed(WeightType::Q8_0, 128, 32, 1);
    let weights = Weights { bytes: &bytes, kind: WeightType::Q8_0, rows: 128, columns: 32 };
    for (n, precision) in [1, 3, 130].into_iter().flat_map(|n| [(n, Precision::Full), (n, Precision::Fast)]) {
        let mut out = vec![0f32; n * 128];
        matmul(Isa::detect(), precision, &activations(n * 32, 1), n, [weights], [&mut out], &cancel);
        assert!(out.iter().all(|&y| y == 0.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_are_exact_but_for_rounding(
        kind in prop::sample::select(&KINDS[..]),
        n in prop_oneof![Just(1usize), 1usize..9, Just(16), Just(40), Just(61), Just(131)],
        rows in prop::collection::vec(1usize..150, 2),
        blocks in 1usize..6,
        seed in any::<u64>(),
    ) {
        let columns = match kind.block_len() { 1 => 1 + blocks * 13, len => len * blocks };
        let x = activations(n * columns, seed);
        let bytes: Vec<_> = rows.iter().map(|&r| packed(kind, r, columns, seed)).collect();
        let weights = [0, 1].map(|i| Weights { bytes: &bytes[i], kind, rows: rows[i], columns });
        for (isa, precision) in builds().into_iter().flat_map(|isa| [(isa, Precision::Full), (isa, Precision::Fast)]) {
            let mut first = vec![f32::NAN; n * rows[0]];
            let mut second = vec![f32::NAN; n * rows[1]];
            matmul(isa, precision, &x, n, weights, [&mut first, &mut second], &CancelToken::new());
            for (w, y) in weights.iter().zip([first, second]) {
                let mut unpacked = vec![0f32; w.rows * columns];
                w.unpack_rows(Isa::Portable, 0, &mut unpacked);
                let exact = naive(&x, &unpacked, n, w.rows, columns);
                let rounding = if precision == Precision::Fast { rounding(kind, columns) } else { 0.0 };
                assert_close(&y, &exact, rounding, &format!("{kind:?} on {isa:?}, {precision:?}, n = {n}"));
            }
        }
    }

    #[test]
    fn attention_is_a_softmax_average(
        (kv_heads, group, pairs) in (1usize..4, 1usize..4, 1usize..20),
        prefix in 0usize..9,
        own in 1usize..9,
        seed in any::<u64>(),
    ) {
        let head_dim = 2 * pairs;
        let (heads, width) = (kv_heads * group, kv_heads * head_dim);
        let q = activations(heads * head_dim, seed);
        let keys = activations((prefix + own) * width, seed / 3);
        let values = activations((prefix + own) * width, seed / 7);
        let shape = AttentionShape { heads, kv_heads, head_dim };
        for isa in builds() {
            let mut out = vec![f32::NAN; q.len()];
            let at = prefix * width;
            let stretches = [(&keys[..at], &values[..at]), (&keys[at..], &values[at..])];
            attend_row(isa, shape, &q, stretches, &mut Vec::new(), &mut out);
            for head in 0..heads {
                let column = head / group * head_dim;
                let row = |of: &[f32], t: usize, i: usize| f64::from(of[t * width + column + i]);
                let weights: Vec<f64> = (0..prefix + own)
                    .map(|t| {
                        let dot: f64 = (0..head_dim).map(|i| f64::from(q[head * head_dim + i]) * row(&keys, t, i)).sum();
                        (dot / (head_dim as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for i in 0..head_dim {
                    let exact: f64 = weights.iter().enumerate().map(|(t, w)| w / total * row(&values, t, i)).sum();
                    prop_assert!((exact - f64::from(out[head * head_dim + i])).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn many_rows_attend_as_each_alone(
        (kv_heads, group, pairs) in (1usize..3, 1usize..4, 1usize..20),
        prefix in prop_oneof![Just(0usize), 1usize..80],
        lengths in prop::collection::vec(1usize..45, 1..5),
        seed in any::<u64>(),
    ) {
        let head_dim = 2 * pairs;
        let (heads, width) = (kv_heads * group, kv_heads * head_dim);
        let n: usize = lengths.iter().sum();
        let (q, keys, values) = (
            activations(n * heads * head_dim, seed),
            activations((prefix + n) * width, seed / 3),
            activations((prefix + n) * width, seed / 7),
        );
        let at = prefix * width;
        let (before, own) = ((&keys[..at], &values[..at]), (&keys[at..], &values[at..]));
        let mut starts = Vec::new();
        for length in lengths {
            starts.extend(std::iter::repeat_n(starts.len(), length));
        }
        let shape = AttentionShape { heads, kv_heads, head_dim };
        for isa in builds() {
            let mut out = vec![f32::NAN; q.len()];
            let context = Context { prefix: before, own, starts: &starts };
            attend(isa, shape, &q, context, &mut out, &CancelToken::new());
            for (row, ((q, out), &start)) in q.chunks_exact(heads * head_dim).zip(out.chunks_exact(heads * head_dim)).zip(&starts).enumerate() {
                let seen = start * width..(row + 1) * width;
                let mut alone = vec![f32::NAN; q.len()];
                attend_row(Isa::Portable, shape, q, [before, (&own.0[seen.clone()], &own.1[seen])], &mut Vec::new(), &mut alone);
                for (a, b) in out.iter().zip(&alone) {
                    prop_assert!((a - b).abs() < 1e-5, "{isa:?}, row {row} of {n}: {a}, alone {b}");
                }
            }
        }
    }

    #[test]
    fn rows_that_see_all_attend_as_each_alone(
        (heads, head_dim) in (1usize..4, 1usize..20),
        n in 1usize..130,
        (parts, gap) in prop_oneof![Just((1usize, 0usize)), Just((3, 0)), Just((3, 5))],
        seed in any::<u64>(),
    ) {
        let head_dim = 2 * head_dim;
        let width = heads * head_dim;
        let stride = parts * width + gap;
        // Queries, keys and values beside each other, or all the same; the last row ends with its values.
        let rows = activations(n * stride - gap, seed);
        let part = |i: usize| &rows[i % parts * width..];
        let dense = |i: usize| part(i).chunks(stride).flat_map(|row| &row[..width]).copied().collect::<Vec<f32>>();
        let (q, keys, values) = (dense(0), dense(1), dense(2));
        let shape = AttentionShape { heads, kv_heads: heads, head_dim };
        for isa in builds() {
            let mut out = vec![f32::NAN; n * width];
            attend_all(isa, shape, [part(0), part(1), part(2)], stride, &mut out, &CancelToken::new());
            for (row, (q, out)) in q.chunks_exact(width).zip(out.chunks_exact(width)).enumerate() {
                let mut alone = vec![f32::NAN; width];
                attend_row(Isa::Portable, shape, q, [(&keys, &values), (&[], &[])], &mut Vec::new(), &mut alone);
                for (a, b) in out.iter().zip(&alone) {
                    prop_assert!((a - b).abs() < 1e-5, "{isa:?}, row {row} of {n}: {a}, alone {b}");
                }
            }
        }
    }

    #[test]
    fn normalised_rows_have_unit_mean_square(n in 1usize..4, width in 1usize..70, seed in any::<u64>()) {
        let rows: Vec<f32> = activations(n * width, seed).iter().map(|x| 3.0 * x + 0.5).collect();
        let weight = activations(width, seed / 5);
        for isa in builds() {
            let mut out = vec![f32::NAN; rows.len()];
            rms_norm(isa, &rows, &weight, 1e-6, &mut out);
            for (row, out) in rows.chunks(width).zip(out.chunks(width)) {
                let mean = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                for ((x, w), o) in row.iter().zip(&weight).zip(out) {
                    let exact = f64::from(*x) / (mean + 1e-6).sqrt() * f64::from(*w);
                    prop_assert!((exact - f64::from(*o)).abs() < 1e-5 * exact.abs().max(1.0));
                }
            }
        }
    }
}

#[test]
fn the_gate_is_silu() {
    for isa in builds() {
        let mut gate = [-200.0f32, -1.0, 0.0, 1.0, 200.0];
        silu_mul(isa, &mut gate, &[2.0; 5]);
        let expected = [0.0, -0.537_882_84, 0.0, 1.462_117_2, 400.0];
        for (a, b) in gate.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a}, expected {b}");
        }
        let mut nan = [f32::NAN];
        silu_mul(isa, &mut nan, &[1.0]);
        assert!(nan[0].is_nan());
    }
}

mod linear;
mod rowwise;
