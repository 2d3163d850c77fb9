//! Continuous batching: the texts of several calls are written together, one token of each in a step.
//!
//! A step reads the weights once for all of its sequences, so eight of them take little longer than one. Sequences join and leave between
//! steps, first come, first served; every one gets a token in every step, so none starves. What a caller does with its tokens does not hold
//! up the others: they come to it through a channel.
//!
//! A sequence that is alone is decoded as [`Llama::decode`] does, several as [`Llama::decode_each`] does, whose sums are added up in another
//! order: logits may differ in the last digits of float32, and a text where two tokens are as likely as one another.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::cache::KvCache;
use super::generate::{Generation, StopReason};
use super::model::Llama;
use super::sampler::Sampler;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};

/// Sequences of one step. More would wait longer for their tokens and hardly be faster in total.
pub const MAX_SEQUENCES: usize = 16;

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
    waiting: VecDeque<Sequence>,
    closed: bool,
}

/// A text that is being written.
struct Sequence {
    cache: KvCache,
    /// The last token, which `cache` does not hold yet.
    last: u32,
    written: usize,
    sampler: Sampler,
    stop_ids: Arc<[u32]>,
    cancel: CancelToken,
    told: Sender<Told>,
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
        let stop = cancel.child();
        let (told, heard) = channel();
        let empty = cache.empty();
        let sequence = Sequence {
            cache: std::mem::replace(cache, empty),
            last,
            written: 0,
            sampler,
            stop_ids: Arc::clone(stop_ids),
            cancel: stop.clone(),
            told,
        };
        self.shared.lock().waiting.push_back(sequence);
        self.shared.arrived.notify_one();

        let mut held = Held { cache, heard, stop, end: None };
        let mut ids = Vec::new();
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
        let run = move || pool.install(|| shared.run());
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
        let mut running: Vec<Sequence> = Vec::new();
        loop {
            {
                let mut queue = self.lock();
                while running.is_empty() && queue.waiting.is_empty() {
                    if queue.closed {
                        return;
                    }
                    queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                let room = MAX_SEQUENCES.saturating_sub(running.len()).min(queue.waiting.len());
                running.extend(queue.waiting.drain(..room));
            }
            running = running.into_iter().filter_map(|sequence| sequence.announce(&self.llama)).collect();
            self.step(&mut running);
        }
    }

    /// Runs the last token of every sequence and chooses the next one; sequences that fail leave.
    fn step(&self, running: &mut Vec<Sequence>) {
        if running.is_empty() {
            return;
        }
        let ids: Vec<u32> = running.iter().map(|sequence| sequence.last).collect();
        // A sequence that is alone stops in the middle of a step, several stop after it: a step is short.
        let cancel = match running.as_slice() {
            [alone] => alone.cancel.clone(),
            _ => CancelToken::new(),
        };
        let mut caches: Vec<&mut KvCache> = running.iter_mut().map(|sequence| &mut sequence.cache).collect();
        let logits = catch_unwind(AssertUnwindSafe(|| self.llama.decode_each(&ids, &mut caches, &cancel)))
            .unwrap_or_else(|_| Err(Error::internal("the language model panicked; this is a bug, please report it")));
        let logits = match logits {
            Ok(logits) => logits,
            Err(error) => {
                for sequence in running.drain(..) {
                    sequence.end(Err(Error::new(error.kind, error.message.clone())));
                }
                return;
            }
        };
        let rows = logits.chunks_exact(self.llama.config().vocab);
        *running = std::mem::take(running)
            .into_iter()
            .zip(rows)
            .filter_map(|(mut sequence, logits)| match sequence.sampler.sample(logits) {
                Ok(id) => {
                    sequence.last = id;
                    Some(sequence)
                }
                Err(error) => {
                    sequence.end(Err(error));
                    None
                }
            })
            .collect();
    }
}

impl Sequence {
    /// Tells the caller the last token, and gives the sequence back if a further one is wanted.
    fn announce(mut self, llama: &Llama) -> Option<Self> {
        if let Err(error) = self.cancel.check() {
            self.end(Err(error));
            return None;
        }
        if self.stop_ids.contains(&self.last) {
            self.end(Ok(StopReason::StopToken));
            return None;
        }
        self.written += 1;
        // A caller that is gone does not take its cache back either.
        self.told.send(Told::Token(self.last)).ok()?;
        let reason = if self.written >= self.sampler.options().max_new_tokens {
            StopReason::MaxTokens
        } else if self.cache.len() >= llama.config().context {
            StopReason::ContextFull
        } else {
            return Some(self);
        };
        self.end(Ok(reason));
        None
    }

    fn end(self, result: Result<StopReason>) {
        // As above.
        let _ = self.told.send(Told::End(result, Box::new(self.cache)));
    }
}
