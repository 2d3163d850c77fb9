//! The sampler: order of its steps, its distribution, its limits.

use emotion_llama_core::llama::{Sampler, SamplingOptions};
use emotion_llama_core::ErrorKind;
use proptest::prelude::*;

/// Everything off: the plain softmax.
fn plain(seed: u64) -> SamplingOptions {
    SamplingOptions { temperature: 1.0, top_p: 1.0, top_k: 0, repetition_penalty: 1.0, seed, ..Default::default() }
}

/// Shares of each id over `draws` first tokens.
fn shares(options: &SamplingOptions, logits: &[f32], draws: u64) -> Vec<f64> {
    let mut counts = vec![0u64; logits.len()];
    for seed in 0..draws {
        let mut sampler = Sampler::new(SamplingOptions { seed, ..options.clone() }).unwrap();
        counts[sampler.sample(logits).unwrap() as usize] += 1;
    }
    counts.iter().map(|&c| c as f64 / draws as f64).collect()
}

#[test]
fn draws_follow_the_softmax_at_the_temperature() {
    let logits = [1.0f32, 2.0, 0.0, -1.0, 1.5];
    for temperature in [0.5f32, 1.0, 2.0] {
        let options = SamplingOptions { temperature, ..plain(0) };
        let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (share, weight) in shares(&options, &logits, 20_000).iter().zip(&weights) {
            // Five standard deviations of a share over 20,000 draws are below 0.018.
            assert!((share - weight / total).abs() < 0.018, "{share}, expected {}", weight / total);
        }
    }
}

#[test]
fn one_sampler_draws_independently() {
    let mut sampler = Sampler::new(plain(3)).unwrap();
    let draws: Vec<u32> = (0..20_000).map(|_| sampler.sample(&[0.0, 0.0]).unwrap()).collect();
    let ones = draws.iter().filter(|&&d| d == 1).count();
    let changes = draws.windows(2).filter(|w| w[0] != w[1]).count();
    assert!((9_600..10_400).contains(&ones), "{ones} of 20,000");
    assert!((9_600..10_400).contains(&changes), "{changes} changes in 20,000");
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_it() {
    // Probabilities 0.5, 0.3, 0.15, 0.05, out of order.
    let logits = [0.15f32, 0.5, 0.05, 0.3].map(f32::ln);
    let kept = |top_p| {
        let shares = shares(&SamplingOptions { top_p, ..plain(0) }, &logits, 2_000);
        shares.iter().enumerate().filter(|(_, s)| **s > 0.0).map(|(i, _)| i).collect::<Vec<_>>()
    };
    assert_eq!(kept(0.01), [1]);
    assert_eq!(kept(0.49), [1]);
    assert_eq!(kept(0.6), [1, 3]);
    assert_eq!(kept(0.9), [0, 1, 3]);
    assert_eq!(kept(1.0), [0, 1, 2, 3]);
}

#[test]
fn top_p_looks_at_what_the_temperature_and_top_k_left() {
    // At temperature 0.2 the first has 0.98; at 1 it has 0.61 and 0.9 takes two.
    let logits = [1.0f32, 0.2, -1.0, -2.0];
    let cold = shares(&SamplingOptions { temperature: 0.2, top_p: 0.9, ..plain(0) }, &logits, 500);
    assert_eq!(cold[0], 1.0);
    let warm = shares(&SamplingOptions { top_p: 0.9, ..plain(0) }, &logits, 500);
    assert!(warm[1] > 0.1);
    // With two left by top-k, the first alone has 0.69 of them.
    let narrow = shares(&SamplingOptions { top_p: 0.65, top_k: 2, ..plain(0) }, &logits, 500);
    assert_eq!(narrow[0], 1.0);
}

#[test]
fn the_penalty_lowers_what_was_generated_and_nothing_else() {
    let greedy = SamplingOptions { greedy: true, repetition_penalty: 2.0, ..Default::default() };
    let mut sampler = Sampler::new(greedy.clone()).unwrap();
    let logits = [3.0f32, 2.0, 1.6];
    // 3, then 1.5 < 2, then 1.5 and 1 < 1.6, then 1.5 again leads.
    let ids: Vec<u32> = (0..4).map(|_| sampler.sample(&logits).unwrap()).collect();
    assert_eq!(ids, [0, 1, 2, 0]);
    // Negative logits are multiplied; a token counts once however often it came.
    let mut sampler = Sampler::new(greedy).unwrap();
    for _ in 0..3 {
        sampler.record(0);
    }
    assert_eq!(sampler.sample(&[-1.0, -1.9]).unwrap(), 1);
    let mut sampler = Sampler::new(SamplingOptions { greedy: true, repetition_penalty: 1.8, ..plain(0) }).unwrap();
    sampler.record(0);
    assert_eq!(sampler.sample(&[-1.0, -1.9]).unwrap(), 0);
}

#[test]
fn equal_logits_give_the_lowest_id_to_greedy() {
    for options in [SamplingOptions { greedy: true, ..plain(0) }, SamplingOptions { temperature: 0.0, ..plain(9) }] {
        assert_eq!(Sampler::new(options).unwrap().sample(&[1.0, 5.0, 5.0, 2.0]).unwrap(), 1);
    }
}

#[test]
fn options_out_of_range_are_named() {
    let default = SamplingOptions::default;
    let cases = [
        ("temperature", SamplingOptions { temperature: f32::NAN, ..default() }),
        ("temperature", SamplingOptions { temperature: -0.1, ..default() }),
        ("temperature", SamplingOptions { temperature: f32::INFINITY, ..default() }),
        ("top_p", SamplingOptions { top_p: 0.0, ..default() }),
        ("top_p", SamplingOptions { top_p: 1.01, ..default() }),
        ("top_p", SamplingOptions { top_p: f32::NAN, ..default() }),
        ("repetition_penalty", SamplingOptions { repetition_penalty: 0.0, ..default() }),
        ("repetition_penalty", SamplingOptions { repetition_penalty: f32::NAN, ..default() }),
        ("max_new_tokens", SamplingOptions { max_new_tokens: 0, ..default() }),
    ];
    for (name, options) in cases {
        let error = Sampler::new(options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert!(error.message.starts_with(name), "{error}");
    }
    assert!(default().validate().is_ok());
}

#[test]
fn logits_that_are_not_numbers_are_an_error_or_passed_over() {
    for greedy in [true, false] {
        let new = || Sampler::new(SamplingOptions { greedy, ..plain(1) }).unwrap();
        for logits in [&[][..], &[f32::NAN; 4], &[f32::NEG_INFINITY, f32::INFINITY]] {
            assert_eq!(new().sample(logits).unwrap_err().kind, ErrorKind::PackInvalid);
        }
        assert_eq!(new().sample(&[f32::NAN, -1e30, f32::INFINITY]).unwrap(), 1);
    }
}

proptest! {
    #[test]
    fn a_draw_is_always_allowed_and_repeatable(
        logits in prop::collection::vec(-30.0f32..30.0, 1..200),
        temperature in 0.01f32..5.0,
        top_p in 0.01f32..=1.0,
        top_k in 0usize..300,
        repetition_penalty in 0.5f32..2.0,
        seed in any::<u64>(),
    ) {
        let options =
            SamplingOptions { temperature, top_p, top_k, repetition_penalty, seed, ..Default::default() };
        let run = || {
            let mut sampler = Sampler::new(options.clone()).unwrap();
            (0..5).map(|_| sampler.sample(&logits).unwrap()).collect::<Vec<_>>()
        };
        let ids = run();
        prop_assert_eq!(&ids, &run());
        // Before anything was generated, the first draw is one of the `top_k` likeliest.
        let first = logits[ids[0] as usize];
        let better = logits.iter().filter(|&&l| l > first).count();
        prop_assert!(top_k == 0 || better < top_k);
        prop_assert!(ids.iter().all(|&id| (id as usize) < logits.len()));
    }
}
