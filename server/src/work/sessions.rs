//! Conversations: each about one clip, kept while it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use emotion_llama_core::request::Question;
use emotion_llama_core::session::Session;
use emotion_llama_core::{CancelToken, Error, ErrorKind};

use super::ask::{Answer, Ask};
use super::job::Reader;
use super::run;
use crate::client::Client;
use crate::config;
use crate::error::{ApiError, ApiResult};
use crate::state::App;

/// The conversations of this server.
#[derive(Debug)]
pub struct Sessions {
    most: usize,
    idle: Duration,
    open: Mutex<HashMap<String, Arc<Slot>>>,
}

/// A conversation. It is away while a question is answered.
struct Slot {
    owner: Option<Arc<str>>,
    conversation: Mutex<Option<Session>>,
    /// One question after the other.
    turn: Arc<tokio::sync::Semaphore>,
    used: Mutex<Instant>,
    /// What stops the question that is being answered.
    running: Mutex<Option<CancelToken>>,
    /// Set when the conversation is ended.
    ended: CancelToken,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot(of {:?})", self.owner)
    }
}

/// What a reader of the opening gets: the conversation, which nobody has yet.
#[derive(Debug, Clone)]
pub struct Opened(Arc<Slot>);

impl Sessions {
    /// None yet.
    pub fn new(config: &config::Sessions) -> Self {
        Self { most: config.most, idle: Duration::from_secs_f64(config.idle_s), open: Mutex::default() }
    }

    /// Seconds without use after which one ends.
    pub fn expires_s(&self) -> f64 {
        self.idle.as_secs_f64()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends those that were not used for long.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.lock().retain(|_, slot| {
            let is_busy = slot.turn.available_permits() == 0;
            is_busy || now.duration_since(*lock(&slot.used)) < self.idle
        });
    }

    /// Begins reading the clip of `ask`.
    ///
    /// # Errors
    /// `overloaded` when the queue is full or there are too many conversations.
    pub fn begin(&self, app: &Arc<App>, ask: Ask, client: &Client) -> ApiResult<Reader<Opened>> {
        let engine = app.engine()?.clone();
        self.check_room()?;
        let place = app.queue.enter()?;
        let owner = client.name.clone();
        Ok(run::start(app, place, move |cancel, tell| {
            let (observation, _) = engine.observe(&ask.request, cancel, tell)?;
            Ok(Opened(Arc::new(Slot {
                owner,
                conversation: Mutex::new(Some(Session::new(&engine, observation))),
                turn: Arc::new(tokio::sync::Semaphore::new(1)),
                used: Mutex::new(Instant::now()),
                running: Mutex::default(),
                ended: CancelToken::new(),
            })))
        }))
    }

    /// Gives a conversation its name.
    ///
    /// # Errors
    /// `overloaded` when there are too many by now.
    pub fn keep(&self, opened: Opened) -> ApiResult<String> {
        self.check_room()?;
        let id = random_id()?;
        *lock(&opened.0.used) = Instant::now();
        self.lock().insert(id.clone(), opened.0);
        Ok(id)
    }

    /// Asks the conversation `id`, after the questions that were asked before.
    ///
    /// # Errors
    /// `not_found`; `overloaded` when the queue is full.
    pub async fn ask(
        &self,
        app: &Arc<App>,
        id: &str,
        question: Question,
        client: &Client,
    ) -> ApiResult<Reader<Answer>> {
        let slot = self.find(id, client)?;
        let turn = Arc::clone(&slot.turn).acquire_owned().await.map_err(ApiError::internal)?;
        let place = app.queue.enter()?;
        Ok(run::start(app, place, move |cancel, tell| {
            let _turn = turn;
            let mut guard = lock(&slot.conversation);
            let session = guard.as_mut().filter(|_| !slot.ended.is_cancelled()).ok_or_else(ended)?;
            *lock(&slot.running) = Some(cancel.clone());
            // It may have ended since it was looked at.
            if slot.ended.is_cancelled() {
                cancel.cancel();
            }
            let answer = session.ask(&question, cancel, tell);
            *lock(&slot.running) = None;
            *lock(&slot.used) = Instant::now();
            match answer {
                Err(error) if error.kind == ErrorKind::Cancelled && slot.ended.is_cancelled() => Err(ended()),
                answer => answer.map(Arc::new),
            }
        }))
    }

    /// Makes the conversation `id` forget its questions and answers.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn reset(&self, id: &str, client: &Client) -> ApiResult<()> {
        let slot = self.find(id, client)?;
        let _turn = Arc::clone(&slot.turn).acquire_owned().await.map_err(ApiError::internal)?;
        match lock(&slot.conversation).as_mut() {
            Some(session) => session.reset(),
            None => return Err(ended().into()),
        }
        *lock(&slot.used) = Instant::now();
        Ok(())
    }

    /// Ends the conversation `id`, and what it is computing.
    ///
    /// # Errors
    /// `not_found`.
    pub fn end(&self, id: &str, client: &Client) -> ApiResult<()> {
        let slot = self.find(id, client)?;
        slot.ended.cancel();
        if let Some(running) = lock(&slot.running).as_ref() {
            running.cancel();
        }
        self.lock().remove(id);
        Ok(())
    }

    /// The conversation `id`, if it is `client`'s.
    fn find(&self, id: &str, client: &Client) -> ApiResult<Arc<Slot>> {
        self.sweep();
        let slot = self.lock().get(id).filter(|slot| slot.owner == client.name).cloned();
        let slot = slot.ok_or_else(|| ApiError::from(ended()))?;
        *lock(&slot.used) = Instant::now();
        Ok(slot)
    }

    fn check_room(&self) -> ApiResult<()> {
        self.sweep();
        let open = self.lock();
        if open.len() < self.most {
            return Ok(());
        }
        let oldest = open.values().map(|slot| *lock(&slot.used)).min();
        let wait = oldest.map_or(1.0, |used| self.idle.saturating_sub(used.elapsed()).as_secs_f64());
        Err(ApiError::overloaded(
            format!(
                "{} sessions are open, the most that there may be; end one that is not needed, or try again later",
                self.most
            ),
            wait.clamp(1.0, 60.0).ceil() as u64,
        ))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        lock(&self.open)
    }
}

fn ended() -> Error {
    Error::not_found("there is no such session, or it has ended; open a new one")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 128 bits that nobody can guess, as 32 hexadecimal digits.
///
/// # Errors
/// `internal` when the system has no random numbers.
pub fn random_id() -> ApiResult<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
