//! Row-wise loops and strided products against their definitions in f64.

use super::*;

/// The error function's Taylor series; its terms cancel to about 1e-9 at 4.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn gelu_is_that_of_the_error_function() {
    assert!((erf(1.0) - 0.842_700_792_949_714_9).abs() < 1e-12 && (erf(3.0) - 0.999_977_909_503_001_4).abs() < 1e-9);
    for isa in builds() {
        let inputs: Vec<f32> = (-5600..=5600).map(|i| i as f32 / 1000.0).collect();
        let mut outputs = inputs.clone();
        gelu(isa, &mut outputs);
        for (&x, &y) in inputs.iter().zip(&outputs) {
            let exact = 0.5 * f64::from(x) * (1.0 + erf(f64::from(x) / std::f64::consts::SQRT_2));
            assert!((f64::from(y) - exact).abs() <= 1e-7 * exact.abs().max(1.0), "gelu({x}) is {y}, exactly {exact}");
        }
        let mut far = [-1e30, -20.0, 20.0, 1e30, f32::NAN];
        gelu(isa, &mut far);
        assert!(
            far[0].abs() < 1e23 && far[1].abs() < 1e-6 && far[2] == 20.0 && far[3] == 1e30 && far[4].is_nan(),
            "{far:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn softmax_is_exponentials_over_their_sum(
        (n, width) in (1usize..4, 1usize..90),
        spread in prop_oneof![Just(0.0f32), Just(1.0), Just(30.0), Just(300.0)],
        shift in -1e4f32..1e4,
        seed in any::<u64>(),
    ) {
        let rows: Vec<f32> = activations(n * width, seed).iter().map(|x| x * spread + shift).collect();
        for isa in builds() {
            let mut out = rows.clone();
            softmax_rows(isa, &mut out, width);
            for (row, out) in rows.chunks(width).zip(out.chunks(width)) {
                let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f64 = row.iter().map(|&x| f64::from(x - max).exp()).sum();
                for (&x, &y) in row.iter().zip(out) {
                    let exact = f64::from(x - max).exp() / total;
                    prop_assert!((f64::from(y) - exact).abs() <= 2e-6 * exact + 1e-37, "{} is {}, exactly {}", x, y, exact);
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_centred_and_scaled(
        (n, width) in (1usize..4, 1usize..90), offset in -20f32..20.0, seed in any::<u64>(),
    ) {
        let rows: Vec<f32> = activations(n * width, seed).iter().map(|x| 3.0 * x + offset).collect();
        let (weight, bias) = (activations(width, seed / 3), activations(width, seed / 5));
        for isa in builds() {
            let mut out = vec![f32::NAN; rows.len()];
            layer_norm(isa, &rows, &weight, &bias, 1e-3, &mut out);
            for (row, out) in rows.chunks(width).zip(out.chunks(width)) {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
                for (i, (&x, &y)) in row.iter().zip(out).enumerate() {
                    let normalised = (f64::from(x) - mean) / (variance + 1e-3).sqrt();
                    let exact = normalised * f64::from(weight[i]) + f64::from(bias[i]);
                    // A single value is its own mean but for rounding, which the small variance magnifies.
                    prop_assert!((f64::from(y) - exact).abs() < 2e-4, "{} is {}, exactly {}", x, y, exact);
                }
            }
        }
    }

    #[test]
    fn strided_products_are_exact_but_for_rounding(
        // Also so large that threads share them.
        (m, k, n) in prop_oneof![(1usize..40, 1usize..40, 1usize..40), (60usize..90, 60usize..90, 60usize..90)],
        (step, gap) in (1usize..50, 0usize..5),
        scale in prop_oneof![Just(1.0f32), Just(0.25)],
        seed in any::<u64>(),
    ) {
        // Windows over one sequence, which may overlap; the right factor transposed; columns of `out` left between.
        let sequence = activations((m - 1) * step + k, seed);
        let right = activations(n * k, seed / 3);
        let windows: Vec<f32> = (0..m).flat_map(|i| sequence[i * step..i * step + k].to_vec()).collect();
        let mut out = vec![7.0f32; m * (n + gap) - gap];
        let views = (View::strided(&sequence, m, k, step), View::new(&right, n, k).transposed());
        sgemm(&mut out, n + gap, views.0, views.1, scale);
        let exact = naive(&windows, &right, m, n, k);
        for (row, exact) in out.chunks(n + gap).zip(exact.chunks(n)) {
            let exact: Vec<_> = exact.iter().map(|(y, size)| (y * f64::from(scale), *size)).collect();
            assert_close(&row[..n], &exact, 0.0, "strided");
            prop_assert!(row[n..].iter().all(|&left| left == 7.0));
        }
    }
}

#[test]
#[should_panic(expected = "matrix sizes")]
fn a_view_past_the_end_is_refused() {
    View::strided(&[0.0; 10], 3, 4, 4);
}
