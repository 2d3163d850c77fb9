//! The threads that an engine computes with.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, ErrorKind, Result};

/// Most threads of one engine's call.
const MAX_THREADS: usize = 1024;
/// Pools that are kept for the next call.
const MAX_IDLE: usize = 4;

/// Pools of threads. A call has one to itself while it runs: in a pool that calls share, a thread that waits for a part of its own
/// call takes up work of another one, and comes back from it only when that is done.
pub(crate) struct Workers {
    threads: usize,
    idle: Mutex<Vec<ThreadPool>>,
}

impl Workers {
    /// For calls that compute with `threads` threads each; 0 for one per processor.
    ///
    /// # Errors
    /// `invalid_argument` for more than 1024.
    pub fn new(threads: usize) -> Result<Self> {
        if threads > MAX_THREADS {
            return Err(Error::invalid_argument(format!(
                "{threads} threads were asked for; give at most {MAX_THREADS}, or 0 for one per processor"
            )));
        }
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        Ok(Self { threads, idle: Mutex::new(Vec::new()) })
    }

    /// How many threads a call computes with.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on threads of its own and waits for it.
    ///
    /// # Errors
    /// `out_of_memory` when the system gives no threads; what `work` says.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = match idle {
            Some(pool) => pool,
            None => self.pool()?,
        };
        let result = pool.install(work);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(pool);
        }
        result
    }

    fn pool(&self) -> Result<ThreadPool> {
        ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|index| format!("emotion-llama-{index}"))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::OutOfMemory, format!("{} threads could not be started: {error}", self.threads))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_at_the_same_time_have_pools_of_their_own_and_leave_them_for_the_next() {
        let workers = Workers::new(2).unwrap();
        let name = || std::thread::current().id();
        let first = workers.run(|| Ok((name(), rayon::current_num_threads(), workers.run(|| Ok(name()))?))).unwrap();
        assert_eq!(first.1, 2);
        assert_ne!(first.0, first.2);
        assert_eq!(workers.idle.lock().unwrap().len(), 2);
        assert_eq!(Workers::new(1025).err().map(|error| error.name()), Some("invalid_argument"));
        assert!(Workers::new(0).unwrap().threads() >= 1);
    }

    #[test]
    fn a_panic_leaves_the_workers_usable() {
        let workers = Workers::new(1).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            workers.run(|| -> Result<()> { panic!("for the test") })
        }));
        assert!(panicked.is_err());
        assert_eq!(workers.run(|| Ok(7)).unwrap(), 7);
    }
}
