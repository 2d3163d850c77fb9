//! A computation that several may read: what it told so far, and how it ended. It is cancelled when its last reader goes away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emotion_llama_core::event::Label;
use emotion_llama_core::CancelToken;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, ApiResult};

/// What a job tells while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A stage begins: `decode`, `observe` or `respond`.
    Stage(&'static str),
    /// The label; the text follows.
    Label(Arc<Label>),
    /// A piece of the answer.
    Text(Arc<str>),
}

/// What a reader finds next.
#[derive(Debug, Clone)]
pub enum Step<T> {
    /// So many jobs are before this one; told when it changes.
    Rank(usize),
    /// It goes on.
    Update(Update),
    /// It ended. Nothing follows.
    Done(ApiResult<T>),
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: watch::Sender<()>,
    cancel: CancelToken,
    abandoned: CancellationToken,
}

struct State<T> {
    rank: Option<usize>,
    // At most a few per token of the answer, which is bounded.
    updates: Vec<Update>,
    outcome: Option<ApiResult<T>>,
    readers: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }
}

/// The side that computes. Dropped without an outcome, the job failed by a defect.
pub struct Writer<T>(Arc<Shared<T>>);

/// A side that reads, from the beginning.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    changed: watch::Receiver<()>,
    rank: Option<usize>,
    next: usize,
}

/// A way to further readers, which does not keep the job alive by itself.
pub struct Door<T>(Arc<Shared<T>>);

/// A job that is cancelled when `parent` is, with its first reader.
pub fn job<T>(parent: &CancelToken) -> (Writer<T>, Reader<T>) {
    let state = State { rank: None, updates: Vec::new(), outcome: None, readers: 1 };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        changed: watch::Sender::new(()),
        cancel: parent.child(),
        abandoned: CancellationToken::new(),
    });
    let reader = Reader { changed: shared.changed.subscribe(), shared: Arc::clone(&shared), rank: None, next: 0 };
    (Writer(shared), reader)
}

impl<T> Writer<T> {
    /// The token that the computation looks at.
    pub fn cancel(&self) -> &CancelToken {
        &self.0.cancel
    }

    /// Is cancelled when nobody reads any more.
    pub fn abandoned(&self) -> &CancellationToken {
        &self.0.abandoned
    }

    /// Tells how many are before this one; None when it runs.
    pub fn set_rank(&self, rank: Option<usize>) {
        if self.0.lock().rank != rank {
            self.0.change(|state| state.rank = rank);
        }
    }

    /// Tells something.
    pub fn tell(&self, update: Update) {
        self.0.change(|state| state.updates.push(update));
    }

    /// Ends the job.
    pub fn finish(&self, outcome: ApiResult<T>) {
        self.0.change(|state| state.outcome = Some(outcome));
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        if self.0.lock().outcome.is_none() {
            self.0.change(|state| state.outcome = Some(Err(ApiError::internal("a job ended without an outcome"))));
        }
    }
}

impl<T: Clone> Reader<T> {
    /// A reader of a job that has ended already: `updates`, then `outcome`.
    pub fn ended(updates: Vec<Update>, outcome: ApiResult<T>) -> Self {
        let (writer, reader) = job(&CancelToken::new());
        updates.into_iter().for_each(|update| writer.tell(update));
        writer.finish(outcome);
        reader
    }

    /// What comes next. After [`Step::Done`] it is told again and again.
    pub async fn next(&mut self) -> Step<T> {
        loop {
            self.changed.mark_unchanged();
            {
                let state = self.shared.lock();
                if let Some(update) = state.updates.get(self.next) {
                    self.next += 1;
                    return Step::Update(update.clone());
                }
                if let Some(outcome) = &state.outcome {
                    return Step::Done(outcome.clone());
                }
                if let Some(rank) = state.rank.filter(|rank| self.rank != Some(*rank)) {
                    self.rank = Some(rank);
                    return Step::Rank(rank);
                }
            }
            if self.changed.changed().await.is_err() {
                return Step::Done(Err(ApiError::internal("a job went away")));
            }
        }
    }

    /// How it ends.
    pub async fn outcome(mut self) -> ApiResult<T> {
        loop {
            if let Step::Done(outcome) = self.next().await {
                return outcome;
            }
        }
    }

    /// A way to further readers.
    pub fn door(&self) -> Door<T> {
        Door(Arc::clone(&self.shared))
    }

    /// Asks the computation to stop, whoever else reads.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
        self.shared.abandoned.cancel();
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.readers -= 1;
        if state.readers == 0 && state.outcome.is_none() {
            drop(state);
            self.shared.cancel.cancel();
            self.shared.abandoned.cancel();
        }
    }
}

impl<T> Clone for Door<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Door<T> {
    /// A further reader, from the beginning; None when the job was given up, because nobody read it any more.
    pub fn enter(&self) -> Option<Reader<T>> {
        let mut state = self.0.lock();
        if (state.readers == 0 && state.outcome.is_none()) || self.0.abandoned.is_cancelled() {
            return None;
        }
        state.readers += 1;
        drop(state);
        Some(Reader { changed: self.0.changed.subscribe(), shared: Arc::clone(&self.0), rank: None, next: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_reader_reads_all_and_the_last_one_cancels() {
        let (writer, mut first) = job::<u8>(&CancelToken::new());
        writer.set_rank(Some(2));
        assert!(matches!(first.next().await, Step::Rank(2)));
        writer.tell(Update::Stage("decode"));
        let second = first.door().enter().unwrap();
        assert!(matches!(first.next().await, Step::Update(Update::Stage("decode"))));
        drop(first);
        assert!(!writer.cancel().is_cancelled());
        let cancel = writer.cancel().clone();
        writer.finish(Ok(7));
        assert_eq!(second.outcome().await, Ok(7));
        assert!(!cancel.is_cancelled());

        let (writer, reader) = job::<u8>(&CancelToken::new());
        let door = reader.door();
        drop(reader);
        assert!(writer.cancel().is_cancelled() && writer.abandoned().is_cancelled() && door.enter().is_none());
    }

    #[tokio::test]
    async fn a_writer_that_panics_is_a_failed_job() {
        let (writer, reader) = job::<u8>(&CancelToken::new());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _writer = writer;
            panic!("for the test")
        }));
        assert!(panicked.is_err());
        assert_eq!(reader.outcome().await.unwrap_err().code.name(), "internal");
    }

    #[test]
    fn the_parent_cancels_all_jobs() {
        let parent = CancelToken::new();
        let (writer, _reader) = job::<u8>(&parent);
        parent.cancel();
        assert!(writer.cancel().is_cancelled());
    }
}
