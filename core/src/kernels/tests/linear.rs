//! Dense layers against their definition, with activations rounded as documented.

use super::*;

/// `x` rounded to 8 bits, 32 to a scale, by the definition.
fn rounded(x: &[f32]) -> Vec<f32> {
    let groups = x.chunks(32).flat_map(|group| {
        let most = group.iter().fold(0f32, |most, x| most.max(x.abs()));
        group
            .iter()
            .map(move |x| if most > 0.0 { (x * (127.0 / most)).round_ties_even() * (most / 127.0) } else { 0.0 })
    });
    groups.collect()
}

/// The exact layer's value for a `sum` of products and what was there.
fn finished(finish: Finish, sum: f64, bias: f32, before: f32) -> f64 {
    let value = sum + f64::from(bias);
    match finish {
        Finish::Store => value,
        Finish::Add => value + f64::from(before),
        Finish::Gelu => {
            let mut value = [value as f32];
            gelu(Isa::Portable, &mut value);
            f64::from(value[0])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layers_are_products_of_rounded_activations(
        kinds in prop::collection::vec(prop::sample::select(&[WeightType::Q8_0, WeightType::F32, WeightType::Q4_0][..]), 2),
        n in prop_oneof![Just(1usize), 1usize..9, Just(40), Just(131)],
        rows in prop::collection::vec(1usize..150, 2),
        blocks in 1usize..6,
        finish in prop::sample::select(&[Finish::Store, Finish::Add, Finish::Gelu][..]),
        seed in any::<u64>(),
    ) {
        let columns = 32 * blocks;
        let x = activations(n * columns, seed);
        let bytes = [0, 1].map(|i| packed(kinds[i], rows[i], columns, seed));
        let weights = [0, 1].map(|i| Weights { bytes: &bytes[i], kind: kinds[i], rows: rows[i], columns });
        let bias = [0, 1].map(|i| activations(rows[i], seed / 3));
        for (isa, precision) in builds().into_iter().flat_map(|isa| [(isa, Precision::Int8), (isa, Precision::Fast)]) {
            let before = [0, 1].map(|i| activations(n * rows[i], seed / 7));
            let mut out = before.clone();
            let layers = [0, 1].map(|i| (weights[i], bias[i].as_slice()));
            linear(isa, precision, &x, layers, finish, out.each_mut().map(Vec::as_mut_slice), &CancelToken::new());
            for (i, w) in weights.iter().enumerate() {
                let mut unpacked = vec![0f32; w.rows * columns];
                w.unpack_rows(Isa::Portable, 0, &mut unpacked);
                let int8 = precision == Precision::Int8 && w.kind == WeightType::Q8_0;
                let x = if int8 { rounded(&x) } else { x.clone() };
                let allowed = if int8 { 0.0 } else { rounding(w.kind, columns) };
                let exact = naive(&x, &unpacked, n, w.rows, columns);
                for (at, (&y, &(sum, size))) in out[i].iter().zip(&exact).enumerate() {
                    let exact = finished(finish, sum, bias[i][at % w.rows], before[i][at]);
                    let error = (f64::from(y) - exact).abs();
                    // GELU is at most 1.13 times as steep as what it is given.
                    let allowed = 1.13 * (f64::from(SUM_ERROR) * size + allowed) + 1e-6;
                    prop_assert!(error <= allowed, "{:?} {:?} {:?} {:?}, element {} is {}, exactly {}", w.kind, isa, precision, finish, at, y, exact);
                }
            }
        }
    }
}

#[test]
fn activations_that_are_not_numbers_are_not_lost() {
    let bytes = packed(WeightType::Q8_0, 40, 64, 1);
    let weights = Weights { bytes: &bytes, kind: WeightType::Q8_0, rows: 40, columns: 64 };
    for (isa, bad) in builds().into_iter().flat_map(|isa| [(isa, f32::NAN), (isa, f32::INFINITY)]) {
        let mut x = activations(3 * 64, 1);
        x[64 + 40] = bad;
        let mut out = vec![0f32; 3 * 40];
        linear(isa, Precision::Int8, &x, [(weights, &[0.0; 40])], Finish::Store, [&mut out], &CancelToken::new());
        let is_nan: Vec<bool> = out.chunks(40).map(|row| row.iter().all(|y| y.is_nan())).collect();
        assert_eq!(is_nan, [false, true, false], "{bad} on {isa:?}");
    }
}

#[test]
fn a_cancelled_layer_does_no_work() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let bytes = packed(WeightType::Q8_0, 128, 32, 1);
    let weights = Weights { bytes: &bytes, kind: WeightType::Q8_0, rows: 128, columns: 32 };
    let mut out = vec![0f32; 3 * 128];
    let x = activations(3 * 32, 1);
    linear(Isa::detect(), Precision::Int8, &x, [(weights, &[0.0; 128])], Finish::Store, [&mut out], &cancel);
    assert!(out.iter().all(|&y| y == 0.0));
}
