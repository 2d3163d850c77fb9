//! Writing takes no memory from one token to the next: allocations of all threads are counted.

mod llama_common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use emotion_llama_core::llama::{
    KvCache, Llama, LoraWeights, Precision, Sampler, SamplingOptions, Scheduler, StopReason,
};
use emotion_llama_core::CancelToken;
use llama_common::{model_path, prefill_ids, reference};
use safetensors::SafeTensors;

/// Tokens until all texts are being written and everything has been computed once.
const BEFORE: usize = 16;
/// Tokens without an allocation: more than the 31 messages that a block of an unbounded channel takes.
const COUNTED: usize = 40;
/// Tokens until the texts end.
const AFTER: usize = 8;
/// A thread that the system lets wait takes its own scratch memory, or its caller joins, while it is counted already. What every step allocates is
/// counted every time.
const TRIES: usize = 5;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all memory is the system allocator's, whose contract is passed on as it is; counting takes none.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The pack's model with its adapter.
fn model(precision: Precision) -> Arc<Llama> {
    let mut model = Llama::from_gguf(model_path()).unwrap();
    model.set_precision(precision);
    let bytes = std::fs::read(model_path().with_file_name("adapter.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    model.set_lora(Some(LoraWeights::from_safetensors(&tensors, model.config(), 2.0).unwrap())).unwrap();
    Arc::new(model)
}

/// What is allocated while `COUNTED` tokens of each of `prompts` are written together.
fn allocations(scheduler: &Scheduler, prompts: Vec<(KvCache, Vec<f32>)>) -> usize {
    let sampler = |seed| {
        let options = SamplingOptions { max_new_tokens: BEFORE + COUNTED + AFTER, seed, ..Default::default() };
        Sampler::new(options).unwrap()
    };
    let start = Barrier::new(prompts.len());
    std::thread::scope(|scope| {
        let write = |(number, (mut cache, logits)): (usize, (KvCache, Vec<f32>))| {
            let (start, sampler) = (&start, sampler(number as u64));
            scope.spawn(move || {
                let (mut heard, mut before, mut counted) = (0, 0, 0);
                let stop_ids = Arc::from([]);
                start.wait();
                let text =
                    scheduler.generate(&mut cache, &logits, sampler, &stop_ids, &CancelToken::new(), &mut |_| {
                        heard += 1;
                        if heard == BEFORE {
                            before = ALLOCATIONS.load(Ordering::Relaxed);
                        } else if heard == BEFORE + COUNTED {
                            counted = ALLOCATIONS.load(Ordering::Relaxed) - before;
                        }
                        ControlFlow::Continue(())
                    });
                assert_eq!(text.unwrap().stop_reason, StopReason::MaxTokens);
                counted
            })
        };
        let calls: Vec<_> = prompts.into_iter().enumerate().map(write).collect();
        let counted: Vec<usize> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        counted[0]
    })
}

/// One test: a second one would allocate while the first one counts.
#[test]
fn a_step_allocates_nothing() {
    let fixture = reference();
    for precision in [Precision::Fast, Precision::Full] {
        let model = model(precision);
        let scheduler = Scheduler::new(Arc::clone(&model), 2);
        for sequences in [1, 8] {
            let prompts: Vec<_> = (0..sequences)
                .map(|i| {
                    let mut cache = KvCache::new(model.config());
                    let logits = prefill_ids(&model, &fixture.ids(&format!("prompt{}.ids", i % 3)), &mut cache);
                    (cache, logits)
                })
                .collect();
            let mut tries = Vec::new();
            while !tries.contains(&0) && tries.len() < TRIES {
                tries.push(allocations(&scheduler, prompts.clone()));
            }
            println!("{precision:?}, {sequences} together: {tries:?} allocations in {COUNTED} steps");
            assert!(
                tries.contains(&0),
                "{precision:?}, {sequences} together: {tries:?} allocations in {COUNTED} steps"
            );
        }
    }
}
