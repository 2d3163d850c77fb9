//! A bounded queue: so many run, so many wait, a further one is refused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{watch, OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::error::{ApiError, ApiResult};

/// How far a new duration moves the mean.
const WEIGHT: f64 = 0.2;
/// Longest wait that a refused client is asked for, in seconds.
const LONGEST_RETRY_S: f64 = 120.0;

/// The queue. First come, first served.
#[derive(Debug)]
pub struct Queue {
    turns: Arc<Semaphore>,
    running: usize,
    waiting: usize,
    wait: Duration,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeSet<u64>,
    running: usize,
    refused: u64,
    cancelled: u64,
    mean_s: Option<f64>,
}

/// What the queue is like at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Snapshot {
    /// How many run.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many were refused since the start.
    pub refused: u64,
    /// How many were cancelled since the start, while they waited or ran.
    pub cancelled: u64,
    /// Mean seconds of a run; None before the first.
    pub mean_s: Option<f64>,
}

impl Queue {
    /// An empty queue.
    pub fn new(config: &config::Queue) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(config.running)),
            running: config.running,
            waiting: config.waiting,
            wait: Duration::from_secs_f64(config.wait_s),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// A place at the end. It is free again when it is dropped.
    ///
    /// # Errors
    /// `overloaded` with the seconds after which there may be one.
    pub fn enter(self: &Arc<Self>) -> ApiResult<Place> {
        let mut state = self.lock();
        if state.waiting.len() + state.running >= self.running + self.waiting {
            state.refused += 1;
            let (waiting, retry) = (state.waiting.len(), self.retry_s(&state));
            drop(state);
            return Err(ApiError::overloaded(
                format!("the queue is full: {waiting} analyses wait; try again in {retry} s"),
                retry,
            )
            .with_details(serde_json::json!({"waiting": waiting, "retry_after_s": retry})));
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number);
        drop(state);
        self.tell();
        Ok(Place { queue: Arc::clone(self), number })
    }

    /// What it is like now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            running: state.running,
            waiting: state.waiting.len(),
            refused: state.refused,
            cancelled: state.cancelled,
            mean_s: state.mean_s,
        }
    }

    /// Counts one that was cancelled.
    pub(super) fn count_cancelled(&self) {
        self.lock().cancelled += 1;
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Seconds until a place may be free.
    fn retry_s(&self, state: &State) -> u64 {
        let mean = state.mean_s.unwrap_or(1.0);
        let turns = (state.waiting.len() + 1) as f64 / self.running as f64;
        // A place is free as soon as one of those that run ends; half of the queue is a fair time for all that were refused.
        (mean * turns / 2.0).clamp(1.0, LONGEST_RETRY_S).ceil() as u64
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
}

/// Looks at a place without holding it.
#[derive(Debug)]
pub struct Watcher {
    queue: Arc<Queue>,
    number: u64,
}

impl Watcher {
    /// How many wait before the place.
    pub fn rank(&self) -> usize {
        self.queue.lock().waiting.range(..self.number).count()
    }

    /// Tells of every change of the queue.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.queue.changes.subscribe();
        // Its first value, too.
        changes.mark_changed();
        changes
    }
}

impl Place {
    /// How many wait before this one.
    pub fn rank(&self) -> usize {
        self.watcher().rank()
    }

    /// Something that looks at this place while it waits for its turn.
    pub fn watcher(&self) -> Watcher {
        Watcher { queue: Arc::clone(&self.queue), number: self.number }
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// `overloaded` when it does not come in time.
    pub async fn turn(self) -> ApiResult<Turn> {
        let waited = tokio::time::timeout(self.queue.wait, Arc::clone(&self.queue.turns).acquire_owned()).await;
        match waited {
            Ok(Ok(permit)) => {
                let queue = Arc::clone(&self.queue);
                let mut state = queue.lock();
                state.running += 1;
                // At once, so that nobody is counted twice; the place itself finds nothing to remove any more.
                state.waiting.remove(&self.number);
                drop(state);
                Ok(Turn { queue, began: Instant::now(), _permit: permit })
            }
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(_) => {
                let retry = self.queue.retry_s(&self.queue.lock());
                Err(ApiError::overloaded(
                    format!("the turn did not come within {} s; try again in {retry} s", self.queue.wait.as_secs_f64()),
                    retry,
                ))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lock().waiting.remove(&self.number);
        self.queue.tell();
    }
}

/// The right to compute, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    queue: Arc<Queue>,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut state = self.queue.lock();
        state.running -= 1;
        state.mean_s = Some(state.mean_s.map_or(seconds, |mean| mean + WEIGHT * (seconds - mean)));
        drop(state);
        self.queue.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(running: usize, waiting: usize) -> Arc<Queue> {
        Queue::new(&config::Queue { running, waiting, wait_s: 0.05 })
    }

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_a_further_one_is_refused() {
        let queue = queue(1, 2);
        let turn = queue.enter().unwrap().turn().await.unwrap();
        let (first, second) = (queue.enter().unwrap(), queue.enter().unwrap());
        assert_eq!((first.rank(), second.rank()), (0, 1));
        let refused = queue.enter().unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after.is_some()), (503, true));
        drop(first);
        assert_eq!(second.rank(), 0);
        let third = queue.enter().unwrap();
        drop(turn);
        let turn = second.turn().await.unwrap();
        assert_eq!(third.rank(), 0);
        assert_eq!(third.turn().await.unwrap_err().code.name(), "overloaded");
        drop(turn);
        let end = queue.snapshot();
        assert_eq!((end.running, end.waiting, end.refused), (0, 0, 1));
        assert!(end.mean_s.is_some());
    }

    #[tokio::test]
    async fn who_goes_away_while_waiting_leaves_its_place() {
        let queue = queue(1, 1);
        let turn = queue.enter().unwrap().turn().await.unwrap();
        let waiting = tokio::spawn(queue.enter().unwrap().turn());
        tokio::task::yield_now().await;
        assert!(queue.enter().is_err());
        waiting.abort();
        let _ = waiting.await;
        assert_eq!(queue.snapshot().waiting, 0);
        drop(turn);
        assert!(queue.enter().unwrap().turn().await.is_ok());
    }
}
