//! Texts that are written together, on the built pack's own language model.

mod llama_common;

use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Barrier};

use emotion_llama_core::llama::{generate, KvCache, Sampler, SamplingOptions, Scheduler, StopReason, MAX_SEQUENCES};
use emotion_llama_core::{CancelToken, ErrorKind};
use llama_common::{load, prefill_ids, reference};

const PROMPTS: [&str; 3] = ["prompt0.ids", "prompt1.ids", "prompt2.ids"];

fn greedy(max_new_tokens: usize) -> Sampler {
    Sampler::new(SamplingOptions { greedy: true, max_new_tokens, ..Default::default() }).unwrap()
}

/// More texts than one step takes, of different prompts and lengths.
#[test]
fn texts_written_together_are_those_written_alone() {
    let (model, fixture) = (Arc::new(load()), reference());
    let scheduler = Scheduler::new(Arc::clone(&model), 2);
    let cancel = CancelToken::new();
    let go = |_| ControlFlow::Continue(());
    let count = MAX_SEQUENCES + 4;
    let prompts = PROMPTS.map(|name| {
        let mut cache = KvCache::new(model.config());
        let logits = prefill_ids(&model, &fixture.ids(name), &mut cache);
        (cache, logits)
    });
    let alone: Vec<_> = (0..count)
        .map(|i| {
            let (mut cache, logits) = prompts[i % 3].clone();
            let text =
                generate(&model, &mut cache, &logits, &mut greedy(4 + i % 7), &[2], &cancel, &mut { go }).unwrap();
            (text, cache.len())
        })
        .collect();
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..count)
            .map(|i| {
                let (start, prompts, scheduler, cancel) = (&start, &prompts, &scheduler, &cancel);
                scope.spawn(move || {
                    let (mut cache, logits) = prompts[i % 3].clone();
                    let mut heard = Vec::new();
                    start.wait();
                    let text =
                        scheduler.generate(&mut cache, &logits, greedy(4 + i % 7), &[2].into(), cancel, &mut |id| {
                            heard.push(id);
                            ControlFlow::Continue(())
                        });
                    let text = text.unwrap();
                    assert_eq!(heard, text.ids);
                    (text, cache.len())
                })
            })
            .collect();
        for (call, expected) in calls.into_iter().zip(&alone) {
            assert_eq!(&call.join().unwrap(), expected);
        }
    });
}

#[test]
fn a_text_that_is_stopped_leaves_the_others_and_its_cache_alone() {
    let (model, fixture) = (Arc::new(load()), reference());
    let scheduler = Scheduler::new(Arc::clone(&model), 2);
    let mut cache = KvCache::new(model.config());
    let logits = prefill_ids(&model, &fixture.ids("prompt1.ids"), &mut cache);
    let write = |cache: &mut KvCache, cancel: &CancelToken, on_token: &mut dyn FnMut(u32) -> ControlFlow<()>| {
        scheduler.generate(cache, &logits, greedy(12), &[].into(), cancel, on_token)
    };
    let before = cache.len();
    let whole = write(&mut cache.clone(), &CancelToken::new(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((whole.ids.len(), whole.stop_reason), (12, StopReason::MaxTokens));

    std::thread::scope(|scope| {
        // Goes on while the others stop.
        let other = scope.spawn(|| write(&mut cache.clone(), &CancelToken::new(), &mut |_| ControlFlow::Continue(())));

        let mut enough = cache.clone();
        let mut count = 0;
        let text = write(&mut enough, &CancelToken::new(), &mut |_| {
            count += 1;
            if count == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let text = text.unwrap();
        assert_eq!((&text.ids[..], text.stop_reason), (&whole.ids[..3], StopReason::Callback));
        assert_eq!(enough.len(), before + 2);

        let cancel = CancelToken::new();
        let mut cancelled = cache.clone();
        let mut heard = 0;
        let error = write(&mut cancelled, &cancel, &mut |_| {
            heard += 1;
            // Meanwhile further tokens are written.
            std::thread::sleep(std::time::Duration::from_millis(100));
            cancel.cancel();
            ControlFlow::Continue(())
        });
        assert_eq!(heard, 1);
        assert_eq!(error.unwrap_err().kind, ErrorKind::Cancelled);
        assert_eq!(cancelled.len(), before);

        let mut panicked = cache.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            write(&mut panicked, &CancelToken::new(), &mut |_| panic!("for the test"))
        }));
        assert!(result.is_err());
        panicked.truncate(before);
        assert_eq!(panicked.len(), before, "the cache came back");

        assert_eq!(other.join().unwrap().unwrap(), whole);
    });
    // All go on from where they were.
    assert_eq!(write(&mut cache, &CancelToken::new(), &mut |_| ControlFlow::Continue(())).unwrap(), whole);
}
