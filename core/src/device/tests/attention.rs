//! Attention a few rows at a time.

use candle_core::{Device, Tensor};

use super::super::attention::{attend, attend_within};
use super::super::download;
use super::{assert_near, noise, F32_ERROR};

const HEADS: usize = 6;
const KV_HEADS: usize = 2;
const WIDTH: usize = 8;
const TOTAL: usize = 19;
const N: usize = 7;

fn tensor(seed: u64, shape: (usize, usize, usize)) -> Tensor {
    Tensor::from_vec(noise(seed, shape.0 * shape.1 * shape.2), shape, &Device::Cpu).unwrap()
}

/// The same, one row of one head at a time, in f64.
fn expected(q: &Tensor, k: &Tensor, v: &Tensor, sees: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let [q, k, v] = [q, k, v].map(|x| x.to_vec3::<f32>().unwrap());
    let mut out = Vec::new();
    for row in 0..N {
        for (head, q) in q.iter().enumerate() {
            let (k, v) = (&k[head / (HEADS / KV_HEADS)], &v[head / (HEADS / KV_HEADS)]);
            let dot = |k: &[f32]| q[row].iter().zip(k).map(|(q, k)| f64::from(q * k)).sum::<f64>();
            let weight = |at: usize| if sees(row, at) { (dot(&k[at]) / (WIDTH as f64).sqrt()).exp() } else { 0.0 };
            let sum: f64 = (0..TOTAL).map(weight).sum();
            let value = |i: usize| (0..TOTAL).map(|at| weight(at) * f64::from(v[at][i])).sum::<f64>() / sum;
            out.extend((0..WIDTH).map(|i| value(i) as f32));
        }
    }
    out
}

#[test]
fn rows_taken_apart_are_those_taken_together() {
    let q = tensor(1, (HEADS, N, WIDTH));
    // Parts of longer tensors, as a cache has them.
    let [k, v] = [2, 3].map(|seed| tensor(seed, (KV_HEADS, 32, WIDTH)).narrow(1, 0, TOTAL).unwrap());
    let sees = |row: usize, at: usize| at < TOTAL - N || (at - (TOTAL - N) <= row);
    let mask: Vec<f32> =
        (0..N * TOTAL).map(|i| if sees(i / TOTAL, i % TOTAL) { 0.0 } else { f32::NEG_INFINITY }).collect();
    let mask = Tensor::from_vec(mask, (N, TOTAL), &Device::Cpu).unwrap();
    for (mask, expected) in [(Some(&mask), expected(&q, &k, &v, sees)), (None, expected(&q, &k, &v, |_, _| true))] {
        assert_near(&download(&attend(&q, &k, &v, mask).unwrap()).unwrap(), &expected, F32_ERROR, "together");
        for most in [1, 2 * HEADS * TOTAL, 3 * HEADS * TOTAL + 1] {
            let found = download(&attend_within(most, &q, &k, &v, mask).unwrap()).unwrap();
            assert_near(&found, &expected, F32_ERROR, "apart");
        }
    }
}
