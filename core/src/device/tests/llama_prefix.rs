//! The language model: what all prompts begin with is read once, on the CPU and on a device.

use super::llama_file::{mixed_rows, pair, HIDDEN};
use super::{assert_near, lose_device, moved, noise, DType, F32_ERROR};
use crate::cancel::CancelToken;
use crate::error::ErrorKind;
use crate::kernels::{Precision, WeightType};
use crate::llama::{KvCache, Llama, Prefixes};

const FIRST: usize = 3;
const LONGER: usize = 7;

/// Two beginnings, of which one begins as the other does.
fn prefixes(rows: &[f32]) -> Prefixes {
    Prefixes::of_rows(vec![rows[..FIRST * HIDDEN].to_vec(), rows[..LONGER * HIDDEN].to_vec(), Vec::new()])
}

fn models() -> [Llama; 2] {
    let [mut host, device] = pair(WeightType::Q8_0);
    host.set_precision(Precision::Full);
    [host, moved(device, DType::F32).unwrap()]
}

fn read(prefixes: &Prefixes, model: &Llama, rows: &[f32]) -> (Vec<f32>, KvCache) {
    let mut cache = KvCache::new(model.config());
    let logits = prefixes.prefill(model, rows, &mut cache, &CancelToken::new()).unwrap();
    (logits, cache)
}

/// Reads `rows` in the parts that end at `ends`.
fn in_parts(model: &Llama, rows: &[f32], ends: &[usize]) -> Vec<f32> {
    let (mut cache, mut logits, mut from) = (KvCache::new(model.config()), Vec::new(), 0);
    for &end in ends {
        let part = &rows[from * HIDDEN..end * HIDDEN];
        logits = model.prefill(part, &mut cache, &CancelToken::new()).unwrap();
        from = end;
    }
    logits
}

#[test]
fn what_was_read_before_makes_no_difference() {
    for model in models() {
        let rows = mixed_rows(&model, 30);
        let mut others = rows.clone();
        others[FIRST * HIDDEN..].copy_from_slice(&noise(5, 27 * HIDDEN));
        let shared = prefixes(&rows);
        let (first, mut cache) = read(&shared, &model, &rows);
        assert_eq!(cache.len(), 30);
        assert_eq!(first, in_parts(&model, &rows, &[LONGER, 30]), "the longest beginning is read by itself");
        assert_near(&first, &in_parts(&model, &rows, &[30]), F32_ERROR, "in one pass");
        // Going on after it leaves the shared rows as they were.
        let cancel = CancelToken::new();
        let next = model.decode(9, &mut cache, &cancel).unwrap();
        assert_eq!(read(&shared, &model, &others).0, in_parts(&model, &others, &[FIRST, 30]));
        let (again, mut cache) = read(&shared, &model, &rows);
        assert_eq!(again, first);
        assert_eq!(model.decode(9, &mut cache, &cancel).unwrap(), next);
        // The other way round, with nothing read before.
        let shared = prefixes(&rows);
        read(&shared, &model, &others);
        assert_eq!(read(&shared, &model, &rows).0, first);
    }
}

#[test]
fn other_rows_are_read_as_they_are() {
    for model in models() {
        let rows = mixed_rows(&model, 30);
        let shared = prefixes(&rows);
        // The oldest were cut, there is nothing but the beginning, or something came before.
        let cut = &rows[HIDDEN..];
        assert_eq!(read(&shared, &model, cut).0, in_parts(&model, cut, &[29]));
        let only = &rows[..FIRST * HIDDEN];
        assert_eq!(read(&shared, &model, only).0, in_parts(&model, only, &[FIRST]));
        let (_, mut cache) = read(&shared, &model, cut);
        shared.prefill(&model, &rows, &mut cache, &CancelToken::new()).unwrap();
        assert_eq!(cache.len(), 29 + 30);
    }
}

#[test]
fn a_call_that_is_stopped_leaves_an_empty_cache() {
    for model in models() {
        let rows = mixed_rows(&model, 30);
        let shared = prefixes(&rows);
        let stopped = CancelToken::new();
        stopped.cancel();
        let expected = in_parts(&model, &rows, &[LONGER, 30]);
        for _ in 0..2 {
            let mut cache = KvCache::new(model.config());
            let error = shared.prefill(&model, &rows, &mut cache, &stopped).unwrap_err();
            assert_eq!((error.kind, cache.len()), (ErrorKind::Cancelled, 0));
            assert_eq!(shared.prefill(&model, &rows, &mut cache, &CancelToken::new()).unwrap(), expected);
        }
        let mut cache = KvCache::new(model.config());
        let long = mixed_rows(&model, model.config().context + 1);
        let error = shared.prefill(&model, &long, &mut cache, &CancelToken::new()).unwrap_err();
        assert_eq!((error.kind, cache.len()), (ErrorKind::InvalidArgument, 0));
    }
}

#[test]
fn after_the_device_is_lost_the_beginning_is_read_again() {
    let [host, mut device] = models();
    device.set_precision(Precision::Full);
    let rows = mixed_rows(&host, 30);
    let shared = prefixes(&rows);
    read(&shared, &device, &rows);
    lose_device(&device);
    for _ in 0..2 {
        assert_eq!(read(&shared, &device, &rows).0, in_parts(&host, &rows, &[LONGER, 30]));
    }
}
