//! The language model: what its caches hold, and where.

use super::llama_file::{mixed_rows, pair, HIDDEN};
use super::{assert_near, lose_device, moved, DType, F32_ERROR};
use crate::cancel::CancelToken;
use crate::error::ErrorKind;
use crate::kernels::{Precision, WeightType};
use crate::llama::{KvCache, Llama};

fn device_model() -> Llama {
    let [_, device] = pair(WeightType::F32);
    moved(device, DType::F32).unwrap()
}

fn prefilled(model: &Llama, rows: &[f32]) -> KvCache {
    let mut cache = KvCache::new(model.config());
    model.prefill(rows, &mut cache, &CancelToken::new()).unwrap();
    cache
}

#[test]
fn a_clone_has_its_own_rows() {
    let model = device_model();
    let cancel = CancelToken::new();
    // With room for further rows, and without.
    for length in [10, 256] {
        let mut first = prefilled(&model, &mixed_rows(&model, length));
        let mut second = first.clone();
        let fresh = |id: u32| {
            let mut cache = prefilled(&model, &mixed_rows(&model, length));
            model.decode(id, &mut cache, &cancel).unwrap();
            model.decode(1, &mut cache, &cancel).unwrap()
        };
        model.decode(7, &mut first, &cancel).unwrap();
        model.decode(9, &mut second, &cancel).unwrap();
        assert_eq!(model.decode(1, &mut first, &cancel).unwrap(), fresh(7), "{length}");
        assert_eq!(model.decode(1, &mut second, &cancel).unwrap(), fresh(9), "{length}");
    }
}

#[test]
fn what_is_cut_off_is_forgotten() {
    let model = device_model();
    let cancel = CancelToken::new();
    let rows = mixed_rows(&model, 30);
    let mut cache = prefilled(&model, &rows);
    let expected = model.decode(4, &mut prefilled(&model, &rows[..12 * HIDDEN]), &cancel).unwrap();
    cache.truncate(12);
    assert_eq!(cache.len(), 12);
    assert_near(&model.decode(4, &mut cache, &cancel).unwrap(), &expected, F32_ERROR, "after the cut");
    cache.truncate(0);
    assert!(cache.is_empty() && cache.device().is_none());
    assert_eq!(model.prefill(&rows, &mut cache, &cancel).unwrap().len(), model.config().vocab);
}

#[test]
fn a_failed_pass_leaves_the_cache_as_it_was() {
    let model = device_model();
    let cancel = CancelToken::new();
    let mut cache = prefilled(&model, &mixed_rows(&model, 20));
    let expected = model.decode(4, &mut cache.clone(), &cancel).unwrap();
    // Stopped within the pass, when the first layers have written.
    let stop = CancelToken::new();
    let mut observe = |layer: usize, _, _: &[f32]| {
        if layer == 1 {
            stop.cancel();
        }
    };
    let error = model.prefill_observed(&mixed_rows(&model, 5), &mut cache, &stop, &mut observe).unwrap_err();
    assert_eq!((error.kind, cache.len()), (ErrorKind::Cancelled, 20));
    assert_eq!(model.decode(4, &mut cache, &cancel).unwrap(), expected);
}

#[test]
fn caches_do_not_change_places() {
    let [host, single] = pair(WeightType::F32);
    let [_, half] = pair(WeightType::F32);
    let (single, half) = (moved(single, DType::F32).unwrap(), moved(half, DType::F16).unwrap());
    let rows = mixed_rows(&host, 6);
    let cancel = CancelToken::new();
    for (model, other) in [(&host, &single), (&single, &half), (&half, &single)] {
        let mut cache = prefilled(other, &rows);
        if std::ptr::eq(model, &host) {
            let error = model.decode(1, &mut cache, &cancel).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
        } else {
            let error = model.decode(1, &mut cache, &cancel).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
        }
        // An empty one may go anywhere.
        cache.truncate(0);
        model.prefill(&rows, &mut cache, &cancel).unwrap();
    }
    let mut cache = prefilled(&host, &rows);
    assert_eq!(single.decode(1, &mut cache, &cancel).unwrap_err().kind, ErrorKind::InvalidArgument);
}

#[test]
fn after_the_device_is_lost_the_cpu_computes() {
    let [mut host, device] = pair(WeightType::Q8_0);
    let mut device = moved(device, DType::F32).unwrap();
    host.set_precision(Precision::Full);
    let rows = mixed_rows(&host, 8);
    let cancel = CancelToken::new();
    let mut conversation = prefilled(&device, &rows);
    assert!(device.place().is_some());
    assert_eq!(lose_device(&device).kind, ErrorKind::Unreachable);
    assert!(device.place().is_none());
    // What was on the device is gone, and says so.
    let error = device.decode(1, &mut conversation, &cancel).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    // Everything else goes on, with the very values of the CPU.
    let mut caches = [&host, &device].map(|model| {
        let mut cache = KvCache::new(model.config());
        (model.prefill(&rows, &mut cache, &cancel).unwrap(), cache)
    });
    assert_eq!(caches[0].0, caches[1].0);
    let [(_, ours), (_, theirs)] = &mut caches;
    assert_eq!(host.decode(2, ours, &cancel).unwrap(), device.decode(2, theirs, &cancel).unwrap());
    conversation.truncate(0);
    assert_eq!(device.prefill(&rows, &mut conversation, &cancel).unwrap(), caches[0].0);

    device.move_to_host();
    assert_eq!(device.prefill(&rows, &mut KvCache::new(device.config()), &cancel).unwrap(), caches[0].0);
}
