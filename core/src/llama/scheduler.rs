//! Continuous batching: the texts of several calls are written together, one token of each in a step.
//!
//! A step reads the weights once for all of its sequences, so eight of them take little longer than one. Sequences join and leave between
//! steps, first come, first served; every one gets a token in every step, so none starves. What a caller does with its tokens does not hold
//! up the others: they come to it through a channel.
//!
//! The sums of several sequences are added up in another order than those of one that is alone: logits may differ in the last digits of float32,
//! and a text where two tokens are as likely as one another.
//!
//! The memory that a text needs is taken when it begins. Between then and its end no step takes any, on the CPU.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::cache::KvCache;
use super::decoder::Decoder;
use super::generate::{reserve, Generation, StopReason};
use super::model::{Llama, FEW_ROWS};
use super::sampler::Sampler;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels;

/// Sequences of one step. More would wait longer for their tokens and hardly be faster in total.
pub const MAX_SEQUENCES: usize = FEW_ROWS;

/// Writes texts with one model, many at a time, on threads of its own.
pub struct Scheduler {
    shared: Arc<Shared>,
    threads: usize,
    /// Started by the first text.
    runner: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    llama: Arc<Llama>,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Sequence, KvCache)>,
    closed: bool,
}

/// A text that is being written.
struct Sequence {
    /// The last token, which the cache does not hold yet, or why there is none.
    last: Result<u32>,
    written: usize,
    sampler: Sampler,
    stop_ids: Arc<[u32]>,
    cancel: CancelToken,
    /// Holds all that will be told, so that nobody waits to tell it.
    told: SyncSender<Told>,
}

/// What a caller is told.
enum Told {
    Token(u32),
    /// Nothing follows. The cache goes back to its owner, whatever happened.
    End(Result<StopReason>, Box<KvCache>),
}

impl Scheduler {
    /// For texts of `llama`, on `threads` threads, which are started when they are first needed.
    pub fn new(llama: Arc<Llama>, threads: usize) -> Self {
        let shared = Shared { llama, queue: Mutex::default(), arrived: Condvar::new() };
        Self { shared: Arc::new(shared), threads, runner: Mutex::default() }
    }

    /// As [`generate`](super::generate), together with the other calls that run at the same time. An error leaves `cache` as it was.
    ///
    /// # Errors
    /// As [`generate`](super::generate); `out_of_memory` when the system gives no threads.
    pub fn generate(
        &self,
        cache: &mut KvCache,
        first_logits: &[f32],
        mut sampler: Sampler,
        stop_ids: &Arc<[u32]>,
        cancel: &CancelToken,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Generation> {
        cancel.check()?;
        self.start()?;
        let last = sampler.sample(first_logits)?;
        let before = cache.len();
        let most = reserve(&self.shared.llama, cache, &mut sampler);
        let stop = cancel.child();
        // The tokens and the end.
        let (told, heard) = sync_channel(most + 1);
        let empty = cache.empty();
        let sequence = Sequence {
            last: Ok(last),
            written: 0,
            sampler,
            stop_ids: Arc::clone(stop_ids),
            cancel: stop.clone(),
            told,
        };
        self.shared.lock().waiting.push_back((sequence, std::mem::replace(cache, empty)));
        self.shared.arrived.notify_one();

        let mut held = Held { cache, heard, stop, end: None };
        let mut ids = Vec::with_capacity(most);
        let mut broken = false;
        while let Some(id) = held.next() {
            // What was written ahead of a caller that wants no more is not given to it.
            if cancel.is_cancelled() {
                break;
            }
            ids.push(id);
            if on_token(id).is_break() {
                broken = true;
                break;
            }
        }
        held.finish();
        let end = held.end.take();
        drop(held);
        if let Err(error) = cancel.check() {
            cache.truncate(before);
            return Err(error);
        }
        if broken {
            // Without what was written after the caller had enough.
            cache.truncate(before + ids.len().saturating_sub(1));
            return Ok(Generation { ids, stop_reason: StopReason::Callback });
        }
        match end {
            Some(Ok(stop_reason)) => Ok(Generation { ids, stop_reason }),
            Some(Err(error)) => {
                cache.truncate(before);
                Err(error)
            }
            None => Err(Error::internal("the scheduler ended before the text did")),
        }
    }

    fn start(&self) -> Result<()> {
        let mut runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner);
        if runner.is_some() {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::OutOfMemory, format!("{} threads could not be started: {error}", self.threads))
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|index| format!("emotion-llama-write-{index}"))
            .build()
            .map_err(|error| failed(&error))?;
        let shared = Arc::clone(&self.shared);
        let run = move || pool.install(|| kernels::with_lasting_crew(|| shared.run()));
        let spawned = std::thread::Builder::new().name("emotion-llama-write".to_owned()).spawn(run);
        *runner = Some(spawned.map_err(|error| failed(&error))?);
        Ok(())
    }
}

/// The caller's end of a text that is being written. The cache is back when this is dropped, also when the caller panics.
struct Held<'a> {
    cache: &'a mut KvCache,
    heard: Receiver<Told>,
    stop: CancelToken,
    end: Option<Result<StopReason>>,
}

impl Held<'_> {
    /// The next token; None after the last one.
    fn next(&mut self) -> Option<u32> {
        match self.heard.recv() {
            Ok(Told::Token(id)) => Some(id),
            Ok(Told::End(result, cache)) => {
                *self.cache = *cache;
                self.end = Some(result);
                None
            }
            Err(_) => None,
        }
    }

    /// Stops the text, if it has not ended by itself.
    fn finish(&mut self) {
        if self.end.is_none() {
            self.stop.cancel();
            while self.next().is_some() {}
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_all();
        let runner = self.runner.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runner) = runner {
            // It catches panics; there is nothing to hear from it.
            let _ = runner.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps as long as there are sequences, and waits for further ones until the scheduler is dropped.
    fn run(&self) {
        let mut running = Running {
            decoder: Decoder::new(&self.llama),
            context: self.llama.config().context,
            sequences: Vec::with_capacity(MAX_SEQUENCES),
            caches: Vec::with_capacity(MAX_SEQUENCES),
            ids: Vec::with_capacity(MAX_SEQUENCES),
            never: CancelToken::new(),
        };
        loop {
            {
                let mut queue = self.lock();
                while running.sequences.is_empty() && queue.waiting.is_empty() {
                    if queue.closed {
                        return;
                    }
                    queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                let room = MAX_SEQUENCES.saturating_sub(running.sequences.len()).min(queue.waiting.len());
                for (sequence, cache) in queue.waiting.drain(..room) {
                    running.sequences.push(sequence);
                    running.caches.push(cache);
                }
            }
            running.announce();
            running.step();
        }
    }
}

/// The texts of a step, and what steps need.
struct Running<'a> {
    decoder: Decoder<'a>,
    context: usize,
    sequences: Vec<Sequence>,
    /// Those of the sequences, in their order.
    caches: Vec<KvCache>,
    ids: Vec<u32>,
    /// Is never cancelled.
    never: CancelToken,
}

impl Running<'_> {
    /// Tells the callers the last tokens; sequences that have ended leave.
    fn announce(&mut self) {
        let mut at = 0;
        while let (Some(sequence), Some(cache)) = (self.sequences.get_mut(at), self.caches.get(at)) {
            match sequence.announce(cache.len() >= self.context) {
                Some(result) => self.end(at, result),
                None => at += 1,
            }
        }
    }

    fn end(&mut self, at: usize, result: Result<StopReason>) {
        let (sequence, cache) = (self.sequences.remove(at), self.caches.remove(at));
        // A caller that is gone does not take its cache back either.
        let _ = sequence.told.send(Told::End(result, Box::new(cache)));
    }

    /// Runs the last token of every sequence and chooses the next one. If that fails, all of them end.
    fn step(&mut self) {
        let Self { decoder, sequences, caches, ids, never, .. } = self;
        // A sequence that is alone stops in the middle of a step, several stop after it: a step is short.
        let cancel = match sequences.as_slice() {
            [] => return,
            [alone] => &alone.cancel.clone(),
            _ => never,
        };
        ids.clear();
        ids.extend(sequences.iter().filter_map(|sequence| sequence.last.as_ref().ok()));
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let logits = decoder.step(ids, caches, cancel)?;
            let vocab = logits.len() / ids.len().max(1);
            kernels::for_each_mut(sequences, |i, sequence| {
                sequence.last = sequence.sampler.sample(logits.get(i * vocab..(i + 1) * vocab).unwrap_or_default());
            });
            Ok(())
        }));
        let stepped = stepped
            .unwrap_or_else(|_| Err(Error::internal("the language model panicked; this is a bug, please report it")));
        if let Err(error) = stepped {
            while !self.sequences.is_empty() {
                self.end(0, Err(Error::new(error.kind, error.message.clone())));
            }
        }
    }
}

impl Sequence {
    /// Tells the caller the last token. Gives how the text ends, unless a further token is wanted.
    fn announce(&mut self, context_is_full: bool) -> Option<Result<StopReason>> {
        if let Err(error) = self.cancel.check() {
            return Some(Err(error));
        }
        let last = match &self.last {
            Ok(last) => *last,
            Err(error) => return Some(Err(Error::new(error.kind, error.message.clone()))),
        };
        if self.stop_ids.contains(&last) {
            return Some(Ok(StopReason::StopToken));
        }
        self.written += 1;
        if self.told.send(Told::Token(last)).is_err() {
            return Some(Err(Error::cancelled()));
        }
        if self.written >= self.sampler.options().max_new_tokens {
            Some(Ok(StopReason::MaxTokens))
        } else if context_is_full {
            Some(Ok(StopReason::ContextFull))
        } else {
            None
        }
    }
}
