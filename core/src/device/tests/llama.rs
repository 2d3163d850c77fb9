//! The language model: what comes out.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::llama_file::{lora, mixed_rows, pair, CONTEXT, VOCAB};
use super::{assert_near, difference, moved, noise, place, DType, F16_ERROR, F32_ERROR};
use crate::cancel::CancelToken;
use crate::error::ErrorKind;
use crate::kernels::{Precision, WeightType};
use crate::llama::{generate, Decoder, KvCache, LayerPart, Llama, Sampler, SamplingOptions, Scheduler};

/// Largest difference, relative, of a step with rounded activations: a product is off by half a percent, and this random model makes ten
/// times that of it.
const ROUNDED_ERROR: f32 = 0.15;
/// What [`pack`](crate::kernels::pack) makes, and plain floats.
const KINDS: [WeightType; 5] = [WeightType::F32, WeightType::F16, WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K];

/// The model on the CPU and the one on candle's CPU device.
fn both(kind: WeightType, dtype: DType) -> [Llama; 2] {
    let [mut host, device] = pair(kind);
    host.set_precision(Precision::Full);
    [host, moved(device, dtype).unwrap()]
}

fn prefilled(model: &Llama, rows: &[f32]) -> (KvCache, Vec<f32>) {
    let mut cache = KvCache::new(model.config());
    let logits = model.prefill(rows, &mut cache, &CancelToken::new()).unwrap();
    (cache, logits)
}

fn greedy(max_new_tokens: usize) -> Sampler {
    let options = SamplingOptions { greedy: true, repetition_penalty: 1.0, max_new_tokens, ..Default::default() };
    Sampler::new(options).unwrap()
}

#[test]
fn prompts_of_every_storage_type_agree() {
    for kind in KINDS {
        let [host, device] = both(kind, DType::F32);
        let rows = mixed_rows(&host, 40);
        let ((_, expected), (cache, found)) = (prefilled(&host, &rows), prefilled(&device, &rows));
        assert_near(&found, &expected, F32_ERROR, &format!("{kind:?}"));
        assert_eq!(cache.len(), 40);
    }
}

#[test]
fn every_part_of_every_layer_agrees() {
    let [host, device] = both(WeightType::Q8_0, DType::F32);
    let rows = mixed_rows(&host, 9);
    let [expected, found] = [&host, &device].map(|model| {
        let mut parts = Vec::new();
        let mut observe = |layer: usize, part: LayerPart, rows: &[f32]| parts.push((layer, part, rows.to_vec()));
        let mut cache = KvCache::new(model.config());
        model.prefill_observed(&rows, &mut cache, &CancelToken::new(), &mut observe).unwrap();
        parts
    });
    assert_eq!(found.len(), 4 * host.config().layers);
    for ((layer, part, expected), (found_layer, found_part, found)) in expected.iter().zip(&found) {
        assert_eq!((layer, part), (found_layer, found_part));
        assert_near(found, expected, F32_ERROR, &format!("layer {layer}, {part:?}"));
    }
}

#[test]
fn a_prompt_of_several_passes_and_pieces_agrees() {
    let [host, device] = both(WeightType::Q8_0, DType::F32);
    // More rows than a pass has, and than memory grows by.
    let rows = mixed_rows(&host, 700);
    let (_, expected) = prefilled(&host, &rows);
    let (_, whole) = prefilled(&device, &rows);
    assert_near(&whole, &expected, F32_ERROR, "in passes");
    let width = host.config().hidden;
    let (mut cache, mut logits) = (KvCache::new(device.config()), Vec::new());
    for piece in [&rows[..255 * width], &rows[255 * width..256 * width], &rows[256 * width..]] {
        logits = device.prefill(piece, &mut cache, &CancelToken::new()).unwrap();
    }
    assert_near(&logits, &expected, F32_ERROR, "in pieces");
}

#[test]
fn greedy_text_is_the_same() {
    for kind in [WeightType::F32, WeightType::Q4K] {
        let [host, device] = both(kind, DType::F32);
        let rows = mixed_rows(&host, 250);
        let [expected, found] = [&host, &device].map(|model| {
            let (mut cache, logits) = prefilled(model, &rows);
            let on_token = &mut |_| ControlFlow::Continue(());
            generate(model, &mut cache, &logits, &mut greedy(24), &[], &CancelToken::new(), on_token).unwrap().ids
        });
        assert_eq!(found, expected, "{kind:?}");
        assert_eq!(found.len(), 24);
    }
}

#[test]
fn sequences_of_different_lengths_step_together() {
    let [host, device] = both(WeightType::Q8_0, DType::F32);
    let lengths = [3, 255, 256, 12, 40, 1, 77, 300, 5, 6];
    let ids: Vec<u32> = (0..lengths.len() as u32).map(|i| i * 31 % VOCAB as u32).collect();
    let mut expected = Vec::new();
    let mut caches = Vec::new();
    for (&length, &id) in lengths.iter().zip(&ids) {
        let rows = mixed_rows(&host, length);
        let mut cache = prefilled(&host, &rows).0;
        expected.extend(host.decode(id, &mut cache, &CancelToken::new()).unwrap());
        caches.push(prefilled(&device, &rows).0);
    }
    let mut decoder = Decoder::new(&device);
    let found = decoder.step(&ids, &mut caches, &CancelToken::new()).unwrap();
    assert_near(found, &expected, F32_ERROR, "together");
    for (cache, length) in caches.iter().zip(lengths) {
        assert_eq!(cache.len(), length + 1);
    }
}

#[test]
fn labels_have_the_same_scores() {
    let [host, device] = both(WeightType::Q8_0, DType::F32);
    let rows = mixed_rows(&host, 30);
    let labels = vec![vec![5], vec![7, 8, 9], vec![], vec![7, 200], vec![11, 12, 13, 14, 15, 16]];
    let [expected, found] = [&host, &device].map(|model| {
        let (cache, logits) = prefilled(model, &rows);
        let scores = model.score(&cache, &logits, &labels, &CancelToken::new()).unwrap();
        assert_eq!(cache.len(), 30);
        // Scoring leaves what is held as it was.
        assert_eq!(scores, model.score(&cache, &logits, &labels, &CancelToken::new()).unwrap());
        // The beginning may be empty.
        let none = KvCache::new(model.config());
        [scores, model.score(&none, &logits, &labels, &CancelToken::new()).unwrap()]
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_near(found, expected, F32_ERROR, "scores");
    }
}

#[test]
fn an_adapter_is_applied_whenever_it_is_set() {
    let [mut host, mut early] = pair(WeightType::Q8_0);
    let [_, mut late] = both(WeightType::Q8_0, DType::F32);
    host.set_precision(Precision::Full);
    let rows = mixed_rows(&host, 20);
    let (_, plain) = prefilled(&host, &rows);
    let adapter = lora(&host);
    host.set_lora(Some(adapter.clone())).unwrap();
    early.set_lora(Some(adapter.clone())).unwrap();
    let early = moved(early, DType::F32).unwrap();
    late.set_lora(Some(adapter)).unwrap();
    let (_, expected) = prefilled(&host, &rows);
    assert!(difference(&plain, &expected) > 0.01, "the adapter does nothing");
    for (model, what) in [(&early, "before the move"), (&late, "after it")] {
        assert_near(&prefilled(model, &rows).1, &expected, F32_ERROR, what);
    }
    late.set_lora(None).unwrap();
    assert_near(&prefilled(&late, &rows).1, &plain, F32_ERROR, "taken away");
}

#[test]
fn half_floats_and_rounded_activations_are_near() {
    let [host, half] = both(WeightType::Q8_0, DType::F16);
    let rows = mixed_rows(&host, 40);
    let (mut expected_cache, expected) = prefilled(&host, &rows);
    let (mut cache, found) = prefilled(&half, &rows);
    assert_near(&found, &expected, F16_ERROR, "f16, prefill");
    let cancel = CancelToken::new();
    let expected_step = host.decode(3, &mut expected_cache, &cancel).unwrap();
    assert_near(&half.decode(3, &mut cache, &cancel).unwrap(), &expected_step, F16_ERROR, "f16, decode");

    for kind in [WeightType::Q8_0, WeightType::Q4_1, WeightType::Q4K] {
        let [host, mut fast] = both(kind, DType::F32);
        fast.set_precision(Precision::Fast);
        let (mut expected_cache, expected) = prefilled(&host, &rows);
        let (mut cache, found) = prefilled(&fast, &rows);
        let what = |what: &str| format!("{kind:?}, {what}");
        assert_near(&found, &expected, F32_ERROR, &what("read"));
        let labels = vec![vec![1, 2], vec![3, 4, 5]];
        let [expected, found] = [(&host, &expected_cache), (&fast, &cache)]
            .map(|(model, cache)| model.score(cache, &expected, &labels, &cancel).unwrap());
        assert_near(&found, &expected, F32_ERROR, &what("scored"));
        let mut twins = [cache.clone(), cache.clone()];
        let expected = host.decode(3, &mut expected_cache, &cancel).unwrap();
        let found = fast.decode(3, &mut cache, &cancel).unwrap();
        let rounded = difference(&found, &expected);
        println!("{}: differs by {rounded:.1e}", what("written"));
        assert!((F32_ERROR..ROUNDED_ERROR).contains(&rounded), "{kind:?}: {rounded}");
        // Several steps together are those of one.
        let mut decoder = Decoder::new(&fast);
        let both = decoder.step(&[3, 3], &mut twins, &cancel).unwrap();
        assert_near(&both[..VOCAB], &expected, ROUNDED_ERROR, &what("together"));
        assert_eq!(both[..VOCAB], both[VOCAB..]);
    }
}

#[test]
fn the_scheduler_writes_with_it() {
    let [host, device] = both(WeightType::F32, DType::F32);
    let rows = mixed_rows(&host, 20);
    let (mut cache, logits) = prefilled(&host, &rows);
    let cancel = CancelToken::new();
    let on_token = &mut |_| ControlFlow::Continue(());
    let expected = generate(&host, &mut cache, &logits, &mut greedy(12), &[], &cancel, on_token).unwrap();

    let device = Arc::new(device);
    let scheduler = Scheduler::new(Arc::clone(&device), 1);
    let write = || {
        let (mut cache, logits) = prefilled(&device, &rows);
        let on_token = &mut |_| ControlFlow::Continue(());
        scheduler.generate(&mut cache, &logits, greedy(12), &Arc::from([]), &CancelToken::new(), on_token).unwrap()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3).map(|_| scope.spawn(write)).collect();
        assert_eq!(write(), expected);
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), expected));
    });
}

#[test]
fn what_cannot_be_read_is_refused_as_on_the_cpu() {
    let [_, device] = both(WeightType::F32, DType::F32);
    let (mut cache, _) = prefilled(&device, &mixed_rows(&device, 10));
    let cancel = CancelToken::new();
    for rows in [vec![], noise(1, 255), mixed_rows(&device, CONTEXT - 9)] {
        let error = device.prefill(&rows, &mut cache, &cancel).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    }
    let stopped = CancelToken::new();
    stopped.cancel();
    let row = mixed_rows(&device, 1);
    assert_eq!(device.prefill(&row, &mut cache, &stopped).unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(
        Decoder::new(&device).step(&[1, 2], &mut [cache.clone(), cache.clone()], &stopped).unwrap_err().kind,
        ErrorKind::Cancelled
    );
    assert_eq!(cache.len(), 10);
    device.prefill(&row, &mut cache, &cancel).unwrap();
}

#[test]
fn other_types_are_refused() {
    let error = super::Place::new(super::Device::Cpu, DType::F64).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert!(format!("{:?}", place(DType::BF16)).contains("BF16"));
}

#[test]
fn the_built_pack_agrees() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini/llm.gguf");
    if !path.is_file() {
        eprintln!("SKIPPED: {} is missing; `make pack` makes it", path.display());
        return;
    }
    let mut host = Llama::from_gguf(&path).unwrap();
    host.set_precision(Precision::Full);
    let device = moved(Llama::from_gguf(&path).unwrap(), DType::F32).unwrap();
    let ids: Vec<u32> = (0..48).map(|i| 300 + i * 97 % 4000).collect();
    let [expected, found] = [&host, &device].map(|model| {
        let (mut cache, logits) = prefilled(model, &model.embed(&ids).unwrap());
        let on_token = &mut |_| ControlFlow::Continue(());
        let text = generate(model, &mut cache, &logits, &mut greedy(8), &[], &CancelToken::new(), on_token).unwrap();
        (logits, text)
    });
    assert_near(&found.0, &expected.0, F32_ERROR, "logits");
    assert_eq!(found.1, expected.1);
}
