//! What every call shares.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use emotion_llama_core::engine::Engine;
use emotion_llama_core::CancelToken;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::config::{Config, ConfigError};
use crate::error::{ApiError, ApiResult};
use crate::files::Files;
use crate::operate::metrics::Metrics;
use crate::work::cache::Cache;
use crate::work::durations::Durations;
use crate::work::events::Events;
use crate::work::queue::Queue;
use crate::work::sessions::Sessions;

/// Seconds that a client is asked to wait while the model loads.
const LOADING_RETRY_S: u64 = 2;

/// The server's state.
#[derive(Debug)]
pub struct App {
    /// What was set.
    pub config: Config,
    /// Who waits and runs.
    pub queue: Arc<Queue>,
    /// Files that may be read, and uploads.
    pub files: Files,
    /// Conversations.
    pub sessions: Sessions,
    /// Answers that another call reads than the one that asked.
    pub events: Events,
    /// Answers that are kept.
    pub cache: Cache,
    /// Keys, tokens and rates.
    pub access: Access,
    /// What is counted.
    pub metrics: Metrics,
    /// How long Gradio's calls took.
    pub durations: Durations,
    /// When the server began.
    pub began: Instant,
    /// Work that outlives the call that began it; the end of the server waits for it.
    pub tasks: TaskTracker,
    engine: Loaded,
    cancel: CancelToken,
    stopping: CancellationToken,
    halted: CancellationToken,
}

#[derive(Default)]
struct Loaded(OnceLock<Engine>);

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loaded({})", self.0.get().is_some())
    }
}

impl App {
    /// The state of a server without a model yet.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn new(config: Config) -> Result<Arc<Self>, ConfigError> {
        config.validate()?;
        Ok(Arc::new(Self {
            queue: Queue::new(&config.queue),
            files: Files::new(&config)?,
            sessions: Sessions::new(&config.sessions),
            events: Events::default(),
            cache: Cache::new(&config.cache)?,
            access: Access::new(&config)?,
            metrics: Metrics::new(),
            durations: Durations::default(),
            began: Instant::now(),
            tasks: TaskTracker::new(),
            engine: Loaded::default(),
            cancel: CancelToken::new(),
            stopping: CancellationToken::new(),
            halted: CancellationToken::new(),
            config,
        }))
    }

    /// The model.
    ///
    /// # Errors
    /// `overloaded` while it loads.
    pub fn engine(&self) -> ApiResult<&Engine> {
        self.engine
            .0
            .get()
            .ok_or_else(|| ApiError::overloaded("the model is being loaded; try again in a moment", LOADING_RETRY_S))
    }

    /// Puts the model in; calls are answered from then on.
    pub fn set_engine(&self, engine: Engine) {
        // A second one is not wanted: what was computed with the first one is kept under its name.
        let _ = self.engine.0.set(engine);
    }

    /// The token that every computation's is a child of.
    pub fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Asks the server to stop: no new connections, what runs may finish.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether [`App::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for [`App::stop`].
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.stopping.cancelled()
    }

    /// Stops what runs.
    pub fn halt(&self) {
        self.cancel.cancel();
        self.halted.cancel();
    }

    /// Waits for [`App::halt`].
    pub fn halted(&self) -> WaitForCancellationFuture<'_> {
        self.halted.cancelled()
    }

    /// What has to be done from time to time, until the server stops.
    pub async fn keep_house(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                () = self.stopping() => return,
                _ = ticks.tick() => {
                    self.sessions.sweep();
                    self.events.sweep();
                    self.files.sweep();
                    self.access.refresh().await;
                }
            }
        }
    }
}
