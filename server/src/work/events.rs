//! Answers that another call reads than the one that asked. They wait here for their reader, bounded in number and in age.
//!
//! Gradio's clients ask in one call and read in another: either one stream for all that a session asked, or one stream for each event. An event
//! that is not read in time is dropped, and its computation stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ask::Answer;
use super::job::Reader;
use super::sessions::random_id;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};

/// Most sessions, and most single events.
const MOST: usize = 1024;
/// Most events at all.
const MOST_EVENTS: usize = 4096;
/// Most events of one session that wait for its stream.
const MOST_WAITING: usize = 256;
/// How long a session's events wait for its stream; clients open it at once.
const UNHEARD: Duration = Duration::from_secs(30);
/// How long a single event waits to be read; it may be a person who types the second command.
const UNREAD: Duration = Duration::from_secs(600);
/// How long a session is remembered after its stream was closed.
const CLOSED: Duration = Duration::from_secs(2);
/// Between the closing of a stream and the answer to a session's next join: a client that hears the answer first would not open a new stream.
const REOPEN: Duration = Duration::from_millis(100);

/// All that wait. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    // A lock of its own, as events go while the other one is held.
    stops: Mutex<HashMap<String, (Owner, CancellationToken)>>,
}

type Owner = Option<Arc<str>>;

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<(Owner, String), Session>,
    singles: HashMap<(Owner, String), (Instant, Event)>,
}

#[derive(Debug)]
struct Session {
    waiting: Vec<Event>,
    joining: usize,
    listeners: usize,
    changed: Arc<Notify>,
    touched: Instant,
    closed: Option<Instant>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            joining: 0,
            listeners: 0,
            changed: Arc::default(),
            touched: Instant::now(),
            closed: None,
        }
    }
}

/// A question that was asked, for who reads its answer.
pub struct Event {
    /// Its name, which nobody can guess.
    pub id: String,
    /// What it tells.
    pub reader: Reader<Answer>,
    /// Cancelled when the client does not want the answer any more.
    pub stop: CancellationToken,
    /// When it was asked.
    pub joined: Instant,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Event")
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        lock(&self.inner.stops).remove(&self.id);
    }
}

/// A question that is being read; the session's stream stays open for it.
#[derive(Debug)]
pub struct Joining {
    inner: Arc<Inner>,
    key: (Owner, String),
    not_before: Instant,
}

/// A session's stream.
#[derive(Debug)]
pub struct Listener {
    inner: Arc<Inner>,
    key: (Owner, String),
    changed: Arc<Notify>,
}

impl Events {
    /// Begins a question of `session`.
    ///
    /// # Errors
    /// `overloaded` when there are too many sessions or events.
    pub fn join(&self, client: &Client, session: &str) -> ApiResult<Joining> {
        let key = (client.name.clone(), session.to_owned());
        let mut state = self.0.state();
        let is_full = |state: &State| {
            (state.sessions.len() >= MOST && !state.sessions.contains_key(&key))
                || lock(&self.0.stops).len() >= MOST_EVENTS
        };
        if is_full(&state) {
            drop(state);
            self.sweep();
            state = self.0.state();
        }
        if is_full(&state) {
            let count = state.sessions.len();
            return Err(ApiError::overloaded(
                format!("{count} sessions wait for their answers; try again in a moment"),
                5,
            ));
        }
        let session = state.sessions.entry(key.clone()).or_default();
        if session.waiting.len() >= MOST_WAITING {
            return Err(ApiError::overloaded(
                format!("{MOST_WAITING} events of this session wait for its stream; open /queue/data"),
                5,
            ));
        }
        session.joining += 1;
        session.touched = Instant::now();
        let not_before = session.closed.map_or(session.touched, |closed| closed + REOPEN);
        drop(state);
        Ok(Joining { inner: Arc::clone(&self.0), key, not_before })
    }

    /// The stream of `session`; None when nothing was asked there.
    pub fn listen(&self, client: &Client, session: &str) -> Option<Listener> {
        let key = (client.name.clone(), session.to_owned());
        let mut state = self.0.state();
        let session = state.sessions.get_mut(&key)?;
        if session.waiting.is_empty() && session.joining == 0 {
            return None;
        }
        session.listeners += 1;
        session.closed = None;
        session.touched = Instant::now();
        let changed = Arc::clone(&session.changed);
        drop(state);
        Some(Listener { inner: Arc::clone(&self.0), key, changed })
    }

    /// Keeps what `reader` tells for the one who knows the name that is given back.
    ///
    /// # Errors
    /// `internal` when the system has no random numbers.
    pub fn put(&self, client: &Client, reader: Reader<Answer>) -> ApiResult<String> {
        let event = self.0.event(client.name.clone(), reader)?;
        let id = event.id.clone();
        let mut state = self.0.state();
        if state.singles.len() >= MOST {
            let oldest = state.singles.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| key.clone());
            // Its reader had the longest time to come.
            oldest.and_then(|key| state.singles.remove(&key));
        }
        state.singles.insert((client.name.clone(), id.clone()), (Instant::now(), event));
        Ok(id)
    }

    /// What [`Events::put`] keeps under this name, once.
    pub fn take(&self, client: &Client, id: &str) -> Option<Event> {
        self.0.state().singles.remove(&(client.name.clone(), id.to_owned())).map(|(_, event)| event)
    }

    /// Ends the event of this name, if it is `client`'s and has not ended.
    pub fn stop(&self, client: &Client, id: &str) {
        if let Some((_, stop)) = lock(&self.0.stops).get(id).filter(|(owner, _)| *owner == client.name) {
            stop.cancel();
        }
    }

    /// Drops what nobody came to read.
    pub fn sweep(&self) {
        let mut state = self.0.state();
        state.singles.retain(|_, (since, _)| since.elapsed() < UNREAD);
        state.sessions.retain(|_, session| {
            if session.listeners == 0 {
                session.waiting.retain(|event| event.joined.elapsed() < UNHEARD);
            }
            let is_idle = session.waiting.is_empty() && session.joining == 0 && session.listeners == 0;
            !is_idle || session.touched.elapsed() < CLOSED
        });
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn event(self: &Arc<Self>, owner: Owner, reader: Reader<Answer>) -> ApiResult<Event> {
        let (id, stop) = (random_id()?, CancellationToken::new());
        lock(&self.stops).insert(id.clone(), (owner, stop.clone()));
        Ok(Event { id, reader, stop, joined: Instant::now(), inner: Arc::clone(self) })
    }
}

impl Joining {
    /// Hands the question over to the session's stream. Gives its name, and the moment before which that must not be told.
    ///
    /// # Errors
    /// `internal` when the system has no random numbers.
    pub fn put(self, reader: Reader<Answer>) -> ApiResult<(String, Instant)> {
        let mut event = self.inner.event(self.key.0.clone(), reader)?;
        event.joined = event.joined.max(self.not_before);
        let id = event.id.clone();
        self.with(|session| session.waiting.push(event));
        Ok((id, self.not_before))
    }

    fn with(&self, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.inner.state().sessions.get_mut(&self.key) {
            change(session);
            session.touched = Instant::now();
            session.changed.notify_one();
        }
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.with(|session| session.joining -= 1);
    }
}

impl Listener {
    /// The events that were asked since the last time.
    pub fn take(&self) -> Vec<Event> {
        self.inner
            .state()
            .sessions
            .get_mut(&self.key)
            .map(|session| std::mem::take(&mut session.waiting))
            .unwrap_or_default()
    }

    /// Waits until there may be something to take, or nothing more to wait for.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Closes the session if nothing was asked that was not taken. What is asked from then on belongs to a new stream.
    pub fn close(&self) -> bool {
        let mut state = self.inner.state();
        let Some(session) = state.sessions.get_mut(&self.key) else { return true };
        let is_over = session.waiting.is_empty() && session.joining == 0;
        if is_over {
            session.closed = Some(Instant::now());
        }
        is_over
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(session) = self.inner.state().sessions.get_mut(&self.key) {
            session.listeners -= 1;
            session.touched = Instant::now();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::job::job;
    use emotion_llama_core::CancelToken;

    fn client(name: Option<&str>) -> Client {
        Client { name: name.map(Into::into), ..Client::of_connection("127.0.0.1:5".parse().unwrap(), 7889, false) }
    }

    #[tokio::test]
    async fn a_stream_closes_when_nothing_is_asked_any_more() {
        let (events, me) = (Events::default(), client(None));
        assert!(events.listen(&me, "s").is_none());
        let joining = events.join(&me, "s").unwrap();
        let listener = events.listen(&me, "s").unwrap();
        assert!(!listener.close());
        let (_writer, reader) = job(&CancelToken::new());
        let (id, _) = joining.put(reader).unwrap();
        listener.changed().await;
        let taken = listener.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].id, id);
        assert!(listener.close());
        drop(listener);
        assert!(events.listen(&me, "s").is_none());
        let before = Instant::now();
        let (_writer, reader) = job(&CancelToken::new());
        let (_, not_before) = events.join(&me, "s").unwrap().put(reader).unwrap();
        assert!(not_before > before, "the answer waits until the client has seen its stream close");
    }

    #[test]
    fn a_join_that_fails_leaves_nothing() {
        let (events, me) = (Events::default(), client(None));
        drop(events.join(&me, "s").unwrap());
        assert!(events.listen(&me, "s").is_none());
    }

    #[test]
    fn nobody_reads_or_stops_what_another_asked() {
        let (events, me, other) = (Events::default(), client(Some("me")), client(Some("other")));
        let (_first, reader) = job(&CancelToken::new());
        let id = events.put(&me, reader).unwrap();
        assert!(events.take(&other, &id).is_none());
        events.stop(&other, &id);
        let event = events.take(&me, &id).unwrap();
        assert!(!event.stop.is_cancelled());
        events.stop(&me, &id);
        assert!(event.stop.is_cancelled());
        assert!(events.take(&me, &id).is_none());
        drop(event);
        assert!(lock(&events.0.stops).is_empty());
        let (_second, reader) = job(&CancelToken::new());
        events.join(&me, "s").unwrap().put(reader).unwrap();
        assert!(events.listen(&other, "s").is_none());
    }

    #[test]
    fn events_without_a_reader_are_bounded_and_their_computation_stops() {
        let (events, me) = (Events::default(), client(None));
        let (oldest, reader) = job(&CancelToken::new());
        events.put(&me, reader).unwrap();
        for _ in 0..MOST {
            events.put(&me, job(&CancelToken::new()).1).unwrap();
        }
        assert!(oldest.cancel().is_cancelled());
        assert_eq!(events.0.state().singles.len(), MOST);
        let joins: Vec<_> = (0..MOST).map(|n| events.join(&me, &n.to_string()).unwrap()).collect();
        assert_eq!(events.join(&me, "one more").unwrap_err().status.as_u16(), 503);
        drop(joins);
        events.0.state().sessions.values_mut().for_each(|session| session.touched -= CLOSED);
        assert!(events.join(&me, "one more").is_ok());
    }
}
