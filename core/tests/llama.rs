//! The language model against transformers in f32, on the built pack's own file.

mod llama_common;

use emotion_llama_core::llama::{
    generate, Decoder, KvCache, LayerPart, LoraWeights, Precision, Sampler, SamplingOptions, StopReason,
};
use emotion_llama_core::{CancelToken, ErrorKind};
use llama_common::{fixture, largest, load, model, prefill_ids, reference, tokenizer, Fixture};
use std::ops::ControlFlow;

/// Largest error of a logit, against a spread of logits of about 20. The reference is stored as f16, whose own
/// rounding at 20 is 0.008; the rest is the order of f32 additions.
const LOGIT_ERROR: f32 = 0.01;
/// Largest error of a layer's output relative to its largest value.
const HIDDEN_ERROR: f32 = 1e-5;
/// Largest difference of logits between two ways of computing the same rows.
const REORDER_ERROR: f32 = 2e-3;
/// Largest difference of logits, whose spread is about 20, between rounded activations and f32.
const ROUNDING_ERROR: f32 = 0.05;
/// Every fourth logit is in the fixture.
const LOGIT_STEP: usize = 4;
const HIDDEN_LAYERS: [usize; 3] = [0, 15, 29];

fn assert_logits(logits: &[f32], expected: &[f32], what: &str) {
    assert_eq!(logits.len().div_ceil(LOGIT_STEP), expected.len());
    let error = largest(logits.iter().step_by(LOGIT_STEP).zip(expected).map(|(a, b)| a - b));
    println!("{what}: largest logit error {error:.5}");
    assert!(error < LOGIT_ERROR, "{what}: logits differ by {error}");
}

/// Prefills `rows` and compares the last row's layer outputs and logits with the fixture's `name`.
fn assert_parity(model: &emotion_llama_core::llama::Llama, fixture: &Fixture, rows: &[f32], name: &str) {
    let width = model.config().hidden;
    let mut hidden = Vec::new();
    let mut observe = |layer: usize, part: LayerPart, rows: &[f32]| {
        if part == LayerPart::Output && HIDDEN_LAYERS.contains(&layer) {
            hidden.extend_from_slice(&rows[rows.len() - width..]);
        }
    };
    let logits =
        model.prefill_observed(rows, &mut KvCache::new(model.config()), &CancelToken::new(), &mut observe).unwrap();
    let expected = fixture.floats(&format!("{name}.hidden"));
    assert_eq!(hidden.len(), expected.len());
    for ((layer, ours), theirs) in HIDDEN_LAYERS.iter().zip(hidden.chunks(width)).zip(expected.chunks(width)) {
        let error = largest(ours.iter().zip(theirs).map(|(a, b)| a - b)) / largest(theirs.iter().copied());
        println!("{name}: layer {layer} relative error {error:.2e}");
        assert!(error < HIDDEN_ERROR, "{name}: layer {layer} differs by {error}");
    }
    assert_logits(&logits, &fixture.floats(&format!("{name}.logits")), name);
}

fn soft_rows(model: &emotion_llama_core::llama::Llama, fixture: &Fixture) -> Vec<f32> {
    let ids = fixture.ids("prompt0.ids");
    let mut rows = model.embed(&ids[..4]).unwrap();
    rows.extend(fixture.floats("soft.rows"));
    rows.extend(model.embed(&ids[4..]).unwrap());
    rows
}

#[test]
fn prompts_agree_with_transformers() {
    let (model, fixture) = (model(), reference());
    for i in 0..3 {
        let rows = model.embed(&fixture.ids(&format!("prompt{i}.ids"))).unwrap();
        assert_parity(model, &fixture, &rows, &format!("prompt{i}"));
    }
}

#[test]
fn soft_tokens_agree_with_transformers() {
    let (model, fixture) = (model(), reference());
    assert_parity(model, &fixture, &soft_rows(model, &fixture), "soft");
}

#[test]
fn lora_agrees_with_transformers() {
    let bytes = fixture("lora.safetensors");
    let mut model = llama_common::load();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let lora = LoraWeights::from_safetensors(&tensors, model.config(), 2.0).unwrap();
    let fixture = reference();
    let rows = soft_rows(&model, &fixture);
    model.set_lora(Some(lora)).unwrap();
    assert_parity(&model, &fixture, &rows, "soft_lora");
    model.set_lora(None).unwrap();
    assert_parity(&model, &fixture, &rows, "soft");
}

#[test]
fn greedy_text_is_that_of_transformers() {
    let (model, fixture) = (model(), reference());
    let cancel = CancelToken::new();
    for i in 0..3 {
        let expected = fixture.ids(&format!("prompt{i}.greedy"));
        let options =
            SamplingOptions { greedy: true, repetition_penalty: 1.0, max_new_tokens: 40, ..Default::default() };
        let mut cache = KvCache::new(model.config());
        let logits = prefill_ids(model, &fixture.ids(&format!("prompt{i}.ids")), &mut cache);
        let mut streamed = Vec::new();
        let stops = tokenizer().stop_ids();
        let generation =
            generate(model, &mut cache, &logits, &mut Sampler::new(options).unwrap(), stops, &cancel, &mut |id| {
                streamed.push(id);
                ControlFlow::Continue(())
            })
            .unwrap();
        let stopped = expected.last().is_some_and(|id| stops.contains(id));
        assert_eq!(generation.stop_reason, if stopped { StopReason::StopToken } else { StopReason::MaxTokens });
        assert_eq!(generation.ids, expected[..expected.len() - usize::from(stopped)], "prompt {i}");
        assert_eq!(streamed, generation.ids);
    }
}

#[test]
fn a_prompt_in_pieces_is_the_same_prompt() {
    let (model, fixture) = (model(), reference());
    let ids = fixture.ids("prompt1.ids");
    let mut whole = KvCache::new(model.config());
    let expected = prefill_ids(model, &ids, &mut whole);
    for pieces in [vec![1, ids.len() - 1], vec![ids.len() - 1, 1], vec![3, 2, 1, ids.len() - 6]] {
        let mut cache = KvCache::new(model.config());
        let mut logits = Vec::new();
        let mut rest = &ids[..];
        for piece in pieces {
            logits = prefill_ids(model, &rest[..piece], &mut cache);
            rest = &rest[piece..];
        }
        assert_eq!(cache.len(), whole.len());
        let error = largest(logits.iter().zip(&expected).map(|(a, b)| a - b));
        assert!(error < REORDER_ERROR, "logits differ by {error}");
    }
}

#[test]
fn a_long_prompt_goes_in_several_passes() {
    let (model, fixture) = (model(), reference());
    let ids: Vec<u32> = fixture.ids("prompt1.ids").iter().copied().cycle().take(300).collect();
    let mut whole = KvCache::new(model.config());
    let expected = prefill_ids(model, &ids, &mut whole);
    let mut cache = KvCache::new(model.config());
    prefill_ids(model, &ids[..290], &mut cache);
    let logits = prefill_ids(model, &ids[290..], &mut cache);
    let error = largest(logits.iter().zip(&expected).map(|(a, b)| a - b));
    assert!(error < 2.0 * REORDER_ERROR, "logits differ by {error}");
}

#[test]
fn rounded_activations_change_logits_less_than_the_weights_storage_does() {
    let (model, fixture) = (model(), reference());
    let mut fast = load();
    fast.set_precision(Precision::Fast);
    for i in 0..3 {
        let ids = fixture.ids(&format!("prompt{i}.ids"));
        let full = prefill_ids(model, &ids, &mut KvCache::new(model.config()));
        let rounded = prefill_ids(&fast, &ids, &mut KvCache::new(model.config()));
        let error = largest(rounded.iter().zip(&full).map(|(a, b)| a - b));
        println!("prompt{i}: rounding changes logits by at most {error:.5}");
        assert!(error < ROUNDING_ERROR, "logits differ by {error}");
        assert_ne!(error, 0.0, "they were not rounded");
    }
}

#[test]
fn sequences_decode_together_as_alone() {
    let (model, fixture) = (model(), reference());
    let cancel = CancelToken::new();
    let (long, short) = (fixture.ids("prompt1.ids"), fixture.ids("prompt0.ids"));
    let prompts = [&long[..], &short[..], &short[..2], &long[..long.len() - 1]];
    let mut together = prompts.map(|_| KvCache::new(model.config()));
    let mut alone = prompts.map(|ids| {
        let mut cache = KvCache::new(model.config());
        prefill_ids(model, ids, &mut cache);
        cache
    });
    for (cache, ids) in together.iter_mut().zip(prompts) {
        prefill_ids(model, ids, cache);
    }
    let mut decoder = Decoder::new(model);
    for step in 0..3u32 {
        let ids: Vec<u32> = (0..4).map(|i| 500 + 91 * i + step).collect();
        let logits = decoder.step(&ids, &mut together, &cancel).unwrap();
        for ((id, cache), logits) in ids.iter().zip(&mut alone).zip(logits.chunks_exact(model.config().vocab)) {
            let expected = model.decode(*id, cache, &cancel).unwrap();
            let error = largest(logits.iter().zip(&expected).map(|(a, b)| a - b));
            assert!(error < REORDER_ERROR, "step {step}: logits differ by {error}");
        }
    }
    assert!(together.iter().zip(&alone).all(|(a, b)| a.len() == b.len()));
    // What cannot be done leaves all as they were.
    let before: Vec<usize> = together.iter().map(KvCache::len).collect();
    for ids in [vec![1, 2, 3], vec![1, 2, u32::MAX, 3]] {
        assert_eq!(decoder.step(&ids, &mut together, &cancel).unwrap_err().kind, ErrorKind::InvalidArgument);
    }
    assert!(decoder.step(&[], &mut [], &cancel).unwrap().is_empty());
    assert_eq!(together.iter().map(KvCache::len).collect::<Vec<_>>(), before);
}

#[test]
fn truncating_forgets() {
    let (model, fixture) = (model(), reference());
    let (first, second) = (fixture.ids("prompt0.ids"), fixture.ids("prompt1.ids"));
    let mut cache = KvCache::new(model.config());
    let expected = prefill_ids(model, &first, &mut cache);
    prefill_ids(model, &second, &mut cache);
    cache.truncate(first.len() - 1);
    let logits = prefill_ids(model, &first[first.len() - 1..], &mut cache);
    let error = largest(logits.iter().zip(&expected).map(|(a, b)| a - b));
    assert!(error < REORDER_ERROR, "logits differ by {error}");
}

#[test]
fn scoring_is_decoding_token_by_token() {
    let (model, fixture) = (model(), reference());
    let cancel = CancelToken::new();
    let mut cache = KvCache::new(model.config());
    let logits = prefill_ids(model, &fixture.ids("prompt0.ids"), &mut cache);
    let words =
        [" happy", "angry", "happy and content", "", "The capital of France is Paris.", "worried", "disgust 123 xyz"];
    let continuations: Vec<Vec<u32>> = words.iter().map(|w| tokenizer().encode(w, false).unwrap()).collect();
    assert!(continuations.iter().any(|c| c.len() > 4) && continuations.iter().any(|c| c.len() == 1));

    let scores = model.score(&cache, &logits, &continuations, &cancel).unwrap();
    assert_eq!(cache.len(), fixture.ids("prompt0.ids").len());
    let again = model.score(&cache, &logits, &continuations, &cancel).unwrap();
    assert_eq!(scores, again, "two runs differ");
    for (ids, score) in continuations.iter().zip(&scores) {
        let (mut cache, mut logits, mut sum) = (cache.clone(), logits.clone(), 0.0);
        for &id in ids {
            let max = logits.iter().copied().fold(f32::MIN, f32::max);
            let log_sum = logits.iter().map(|l| f64::from(l - max).exp()).sum::<f64>().ln() as f32 + max;
            sum += logits[id as usize] - log_sum;
            logits = model.decode(id, &mut cache, &cancel).unwrap();
        }
        assert!((sum - score).abs() < 5.0 * REORDER_ERROR, "{sum} token by token, {score} in one pass");
    }
    // The cache still continues as it did.
    let next = model.decode(5, &mut cache.clone(), &cancel).unwrap();
    let mut fresh = KvCache::new(model.config());
    prefill_ids(model, &fixture.ids("prompt0.ids"), &mut fresh);
    assert_eq!(next, model.decode(5, &mut fresh, &cancel).unwrap());
}

#[test]
fn the_same_call_gives_the_same_bits() {
    let (model, fixture) = (model(), reference());
    let rows = model.embed(&fixture.ids("prompt1.ids")).unwrap();
    let run = || model.prefill(&rows, &mut KvCache::new(model.config()), &CancelToken::new()).unwrap();
    assert_eq!(run(), run());
}

#[test]
fn cancelling_stops_and_leaves_the_cache_alone() {
    let (model, fixture) = (model(), reference());
    let cancel = CancelToken::new();
    let mut cache = KvCache::new(model.config());
    let logits = prefill_ids(model, &fixture.ids("prompt0.ids"), &mut cache);
    let before = cache.len();
    // In the middle of a prefill: at layer 3 of the second pass.
    let rows = model.embed(&vec![7; 600]).unwrap();
    let mut seen = 0;
    let stopped = model.prefill_observed(&rows, &mut cache, &cancel, &mut |_, part, _| {
        seen += usize::from(part == LayerPart::Output);
        if seen == 33 {
            cancel.cancel();
        }
    });
    assert_eq!(stopped.unwrap_err().kind, ErrorKind::Cancelled);
    assert!(seen <= 34, "went on for {} layers", seen - 33);
    assert_eq!(cache.len(), before);
    assert_eq!(model.decode(5, &mut cache, &cancel).unwrap_err().kind, ErrorKind::Cancelled);
    let scored = model.score(&cache, &logits, &[vec![5, 6, 7]], &cancel);
    assert_eq!(scored.unwrap_err().kind, ErrorKind::Cancelled);
    // The cache goes on as if nothing had been tried.
    let mut fresh = KvCache::new(model.config());
    prefill_ids(model, &fixture.ids("prompt0.ids"), &mut fresh);
    let go = CancelToken::new();
    assert_eq!(model.decode(5, &mut cache, &go).unwrap(), model.decode(5, &mut fresh, &go).unwrap());
}

#[test]
fn generation_stops_when_asked() {
    let (model, fixture) = (model(), reference());
    let mut cache = KvCache::new(model.config());
    let logits = prefill_ids(model, &fixture.ids("prompt2.ids"), &mut cache);
    let run = |cache: &KvCache, cancel: &CancelToken, on_token: &mut dyn FnMut(u32) -> ControlFlow<()>| {
        let mut sampler = Sampler::new(SamplingOptions { max_new_tokens: 6, ..Default::default() }).unwrap();
        generate(model, &mut cache.clone(), &logits, &mut sampler, &[], cancel, on_token)
    };
    let mut count = 0;
    let stopped = run(&cache, &CancelToken::new(), &mut |_| {
        count += 1;
        if count == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap();
    assert_eq!((stopped.ids.len(), stopped.stop_reason), (3, StopReason::Callback));
    let cancel = CancelToken::new();
    let cancelled = run(&cache, &cancel, &mut |_| {
        cancel.cancel();
        ControlFlow::Continue(())
    });
    assert_eq!(cancelled.unwrap_err().kind, ErrorKind::Cancelled);
    let all = run(&cache, &CancelToken::new(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((all.ids.len(), all.stop_reason), (6, StopReason::MaxTokens));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let model = model();
    let cancel = CancelToken::new();
    let mut cache = KvCache::new(model.config());
    let refused = |result: emotion_llama_core::Result<Vec<f32>>, words: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
        assert!(error.message.contains(words), "{error}");
    };
    refused(model.embed(&[49_152]), "vocabulary");
    refused(model.prefill(&[], &mut cache, &cancel), "rows of 576");
    refused(model.prefill(&[0.0; 577], &mut cache, &cancel), "rows of 576");
    let too_long = vec![0.0; 576 * (model.config().context + 1)];
    refused(model.prefill(&too_long, &mut cache, &cancel), "context of 8192");
    refused(model.score(&cache, &[0.0; 3], &[vec![1]], &cancel), "prefix logits");
    refused(model.score(&cache, &vec![0.0; 49_152], &[vec![1, 99_999]], &cancel), "vocabulary");
    let mut other = model.config().clone();
    other.layers = 2;
    refused(model.decode(1, &mut KvCache::new(&other), &cancel), "other extents");
    assert!(cache.is_empty());
}

#[test]
fn an_adapter_that_does_not_fit_is_named() {
    use safetensors::tensor::{Dtype, TensorView};
    let model = model();
    let zeros = vec![0u8; 4 * 576 * 2];
    let view = |shape: &[usize]| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()
    };
    let cases: [(&str, Vec<(&str, TensorView<'_>)>); 7] = [
        ("no lora", vec![("projector.weight", view(&[2, 2]))]),
        ("lora.0.q.b", vec![("lora.0.q.a", view(&[2, 576]))]),
        ("lora.0.q.a", vec![("lora.0.q.b", view(&[576, 2]))]),
        ("lora.0.v.b", vec![("lora.0.v.a", view(&[2, 576])), ("lora.0.v.b", view(&[576, 2]))]),
        ("lora.30.q.a", vec![("lora.30.q.a", view(&[2, 576]))]),
        ("lora.0.k.a", vec![("lora.0.k.a", view(&[2, 576]))]),
        ("lora.0.q.a", vec![("lora.0.q.a", view(&[2, 500])), ("lora.0.q.b", view(&[576, 2]))]),
    ];
    for (words, tensors) in cases {
        let bytes = safetensors::serialize(tensors, None).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let error = LoraWeights::from_safetensors(&tensors, model.config(), 1.0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
        assert!(error.message.contains(words), "{error} does not name {words}");
    }
}
