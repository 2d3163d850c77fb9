//! Calls that block, each on a thread of its own, and what they tell JavaScript. libuv's pool has four threads for files and names; an
//! analysis is none of theirs.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeCallContext, ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};

use crate::handles::Handle;
use crate::library::{Cancel, Failure, Result};

/// Number of the call, kind (`done`, `event`, `failed`, `progress`, `log`), text, name, number, total.
pub type Letter = (u32, &'static str, String, String, f64, f64);
type Arguments = FnArgs<(u32, &'static str, String, String, f64, f64)>;
type Sender = ThreadsafeFunction<Letter, (), Arguments, Status, false, true>;

/// How long the end of an environment waits for calls that were cancelled. They stop within about 0.1 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// One for each environment (main thread, worker): its running calls, and the function that is told what becomes of them.
pub struct Mailbox {
    sender: Sender,
    running: Mutex<Running>,
    left: Condvar,
}

#[derive(Default)]
struct Running {
    closed: bool,
    calls: HashMap<u32, Arc<Handle<Cancel>>>,
}

impl Mailbox {
    pub fn new(env: &Env, function: &Function<'_, Arguments, ()>) -> napi::Result<Arc<Self>> {
        let sender = function
            .build_threadsafe_function::<Letter>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(|context: ThreadsafeCallContext<Letter>| Ok(FnArgs::from(context.value)))?;
        let mailbox = Arc::new(Self { sender, running: Mutex::default(), left: Condvar::new() });
        // Hooks run in the reverse order of their making: this one while the sender still takes letters.
        env.add_env_cleanup_hook(Arc::clone(&mailbox), |mailbox| mailbox.shut())?;
        Ok(mailbox)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a letter, or drops it where nobody reads any more. Never waits.
    pub fn post(&self, letter: Letter) {
        self.sender.call(letter, ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Runs `work` on a thread of its own. A `done` or `failed` letter is its last; after [`Mailbox::shut`] there is none.
    pub fn run(
        self: &Arc<Self>,
        id: u32,
        cancel: Arc<Handle<Cancel>>,
        work: impl FnOnce(&Post) -> Result<String> + Send + 'static,
    ) {
        {
            let mut running = self.running();
            if running.closed {
                return;
            }
            running.calls.insert(id, cancel);
        }
        let post = Post { id, mailbox: Arc::clone(self) };
        let spawned = thread::Builder::new().name("emotion-llama".into()).spawn(move || {
            // Nothing here should panic; a promise that is never settled would be worse than a clumsy message.
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&post)))
                .unwrap_or_else(|_| Err(Failure::internal("the binding panicked; please report it")));
            post.end(outcome);
        });
        if let Err(error) = spawned {
            let failure = Failure::out_of_memory(format!("no thread can be started for the call: {error}"));
            Post { id, mailbox: Arc::clone(self) }.end(Err(failure));
        }
    }

    /// Cancels what runs, and waits a little for it to stop: no call is inside the library when the process or the worker ends.
    pub fn shut(&self) {
        let mut running = self.running();
        running.closed = true;
        for cancel in running.calls.values() {
            crate::request_cancel(cancel);
        }
        let end = Instant::now() + PATIENCE;
        while !running.calls.is_empty() {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return };
            running = self.left.wait_timeout(running, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

/// What a call's thread tells.
pub struct Post {
    id: u32,
    mailbox: Arc<Mailbox>,
}

impl Post {
    pub fn event(&self, json: String) {
        self.mailbox.post((self.id, "event", json, String::new(), 0.0, 0.0));
    }

    pub fn progress(&self, done: u64, total: u64) {
        self.mailbox.post((self.id, "progress", String::new(), String::new(), done as f64, total as f64));
    }

    fn end(&self, outcome: Result<String>) {
        self.mailbox.post(match outcome {
            Ok(text) => (self.id, "done", text, String::new(), 0.0, 0.0),
            Err(failure) => (self.id, "failed", failure.message, failure.name, failure.code.into(), 0.0),
        });
        let cancel = self.mailbox.running().calls.remove(&self.id);
        self.mailbox.left.notify_all();
        drop(cancel);
    }
}
