//! Answers that are kept, and equal requests that run once.
//!
//! An answer is looked for in memory, then among those that are being computed, then in the store that servers share. One that is computed for
//! several is cancelled when the last of them has gone away. What was told while it was computed is kept with it, so that a stream tells the
//! same. Errors are not kept.

pub mod key;
pub mod store;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::event::{Event, Label};
use moka::sync::Cache as Moka;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::key::{Hasher, Key, Named};
use self::store::Store;
use super::ask::{compute, Answer, Ask};
use super::job::{Door, Reader, Update};
use crate::config::{self, ConfigError};
use crate::error::{ApiError, ApiResult};
use crate::operate::metrics::Lookup;
use crate::state::App;

/// What an entry takes besides its text.
const OVERHEAD: usize = 512;
/// The form in which answers lie in the shared store.
const FORM: u32 = 2;
/// Clips that are hashed side by side.
const HASHED_AT_ONCE: usize = 4;
/// Stages that are told.
const STAGES: [&str; 3] = ["decode", "observe", "respond"];

/// The cache.
#[derive(Debug)]
pub struct Cache {
    memory: Moka<Key, Arc<Kept>>,
    flights: Mutex<HashMap<(Key, String), (u64, Flight)>>,
    /// Held from the last look at `flights` until a new one is among them.
    starting: Mutex<()>,
    next: AtomicU64,
    hasher: Hasher,
    /// Before the queue, so that kept answers need no place in it; few at a time, as files are read.
    hashing: Semaphore,
    store: Option<Store>,
    is_off: bool,
}

/// An answer with what was told before it.
#[derive(Debug)]
struct Kept {
    told: Vec<Update>,
    answer: Answer,
    bytes: usize,
}

/// A way to a job that is being computed.
struct Flight(Door<Answer>);

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flight")
    }
}

/// What lies in the shared store.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    form: u32,
    told: Vec<Told>,
    answer: Analysis,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Stage(String),
    Label(Label),
    Text(String),
}

impl Kept {
    fn new(told: Vec<Update>, answer: Answer) -> Result<(Self, Vec<u8>), serde_json::Error> {
        let record = Record {
            form: FORM,
            told: told
                .iter()
                .map(|update| match update {
                    Update::Stage(stage) => Told::Stage((*stage).into()),
                    Update::Label(label) => Told::Label(Label::clone(label)),
                    Update::Text(text) => Told::Text(text.to_string()),
                })
                .collect(),
            answer: answer.as_ref().clone(),
        };
        let text = serde_json::to_vec(&record)?;
        // In memory it is about as long, each piece of its text with an allocation of its own.
        let bytes = OVERHEAD + text.len() + told.len() * size_of::<Update>();
        Ok((Self { told, answer, bytes }, text))
    }

    /// What lies in the store under a name; None when it is none of ours, or damaged.
    fn read(text: &[u8], model: &str) -> Option<Self> {
        let record: Record = serde_json::from_slice(text).ok()?;
        if record.form != FORM || record.answer.model.digest != model {
            return None;
        }
        let told: Option<Vec<Update>> = record
            .told
            .into_iter()
            .map(|told| match told {
                Told::Stage(stage) => STAGES.into_iter().find(|known| **known == stage).map(Update::Stage),
                Told::Label(label) => Some(Update::Label(Arc::new(label))),
                Told::Text(text) => Some(Update::Text(text.into())),
            })
            .collect();
        Some(Self { bytes: OVERHEAD + text.len(), told: told?, answer: Arc::new(record.answer) })
    }

    fn replay(&self) -> Reader<Answer> {
        Reader::ended(self.told.clone(), Ok(Arc::clone(&self.answer)))
    }
}

impl Cache {
    /// An empty one.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn new(config: &config::Cache) -> Result<Self, ConfigError> {
        let memory = Moka::builder()
            .max_capacity(config.bytes)
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.bytes).unwrap_or(u32::MAX))
            .time_to_live(Duration::from_secs_f64(config.keep_s))
            .build();
        let store = Store::new(config)?;
        Ok(Self {
            memory,
            flights: Mutex::default(),
            starting: Mutex::default(),
            next: AtomicU64::new(0),
            hasher: Hasher::default(),
            hashing: Semaphore::new(HASHED_AT_ONCE),
            is_off: config.bytes == 0 && store.is_none(),
            store,
        })
    }

    /// How many answers are in memory, and their bytes.
    pub fn size(&self) -> (u64, u64) {
        self.memory.run_pending_tasks();
        (self.memory.entry_count(), self.memory.weighted_size())
    }

    /// A kept answer, a running one, or a new one.
    ///
    /// # Errors
    /// As [`compute`].
    pub async fn answer(&self, app: &Arc<App>, ask: Ask) -> ApiResult<Reader<Answer>> {
        if self.is_off {
            return compute(app, ask, None);
        }
        let turn = self.hashing.acquire().await.map_err(ApiError::internal)?;
        let naming = Arc::clone(app);
        let (ask, named) = tokio::task::spawn_blocking(move || {
            let named = naming.engine().ok().and_then(|engine| naming.cache.hasher.name(&ask, engine.pack().digest()));
            (ask, named)
        })
        .await
        .map_err(ApiError::internal)?;
        drop(turn);
        let Some(named) = named else { return compute(app, ask, None) };
        let key = named.key;
        // An error names the clip as its client does; another client's name is nothing for others.
        let flight = (key, ask.request.source.to_string());
        if let Some(reader) = self.find(app, &flight) {
            return Ok(reader);
        }
        if let Some(reader) = self.shared(app, key).await {
            return Ok(reader);
        }
        // Equal requests at the same moment begin once. It is a lock of its own: a keeper that is dropped takes that of the flights.
        let starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have begun, or even ended, while the store was asked.
        if let Some(reader) = self.flights().get(&flight).and_then(|(_, running)| running.0.enter()) {
            app.metrics.lookup(Lookup::Running);
            return Ok(reader);
        }
        if let Some(kept) = self.memory.get(&key) {
            app.metrics.lookup(Lookup::Memory);
            return Ok(kept.replay());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_over = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            app: Arc::clone(app),
            named,
            flight: flight.clone(),
            number,
            is_over: Arc::clone(&is_over),
            told: Vec::new(),
        };
        let reader = compute(app, ask, Some(keeper))?;
        app.metrics.lookup(Lookup::Miss);
        let mut flights = self.flights();
        if !is_over.load(Ordering::SeqCst) {
            flights.insert(flight, (number, Flight(reader.door())));
        }
        drop(starting);
        Ok(reader)
    }

    fn find(&self, app: &App, flight: &(Key, String)) -> Option<Reader<Answer>> {
        if let Some(kept) = self.memory.get(&flight.0) {
            app.metrics.lookup(Lookup::Memory);
            return Some(kept.replay());
        }
        let reader = self.flights().get(flight).and_then(|(_, running)| running.0.enter())?;
        app.metrics.lookup(Lookup::Running);
        Some(reader)
    }

    /// What other servers have computed.
    async fn shared(&self, app: &App, key: Key) -> Option<Reader<Answer>> {
        let text = self.store.as_ref()?.get(key, || app.metrics.store_error()).await?;
        let Some(kept) = Kept::read(&text, app.engine().ok()?.pack().digest()) else {
            tracing::warn!("an entry of the shared store is damaged; it is computed again");
            return None;
        };
        let kept = Arc::new(kept);
        self.memory.insert(key, Arc::clone(&kept));
        app.metrics.lookup(Lookup::Shared);
        Some(kept.replay())
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<(Key, String), (u64, Flight)>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what a computation tells and gives. Dropped, also when it never ran, it ends the flight.
pub struct Keeper {
    app: Arc<App>,
    named: Named,
    flight: (Key, String),
    number: u64,
    /// Set before the flight is taken out, so that it is not put in after that.
    is_over: Arc<AtomicBool>,
    told: Vec<Update>,
}

impl Keeper {
    /// Remembers what is told.
    pub fn tell(&mut self, event: &Event<'_>) {
        self.told.push(match event {
            Event::Stage(stage) => Update::Stage(stage),
            Event::Label(label) => Update::Label(Arc::new((*label).clone())),
            Event::Text(text) => Update::Text((*text).into()),
        });
    }

    /// Keeps the answer, if the clip is still what was hashed.
    pub fn keep(mut self, answer: &Answer) {
        if !self.named.is_unchanged() {
            tracing::debug!("a clip was changed while it was read; its answer is not kept");
            return;
        }
        let (kept, text) = match Kept::new(std::mem::take(&mut self.told), Arc::clone(answer)) {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                return;
            }
        };
        let key = self.named.key;
        self.app.cache.memory.insert(key, Arc::new(kept));
        if self.app.cache.store.is_some() {
            let app = Arc::clone(&self.app);
            self.app.tasks.spawn(async move {
                if let Some(store) = &app.cache.store {
                    store.put(key, text, || app.metrics.store_error()).await;
                }
            });
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut flights = self.app.cache.flights();
        if flights.get(&self.flight).is_some_and(|(number, _)| *number == self.number) {
            flights.remove(&self.flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_others_is_read_again_and_nothing_else() {
        let mut analysis = Analysis { response: "happy \u{1F600}".into(), ..Analysis::default() };
        analysis.model.digest = "m".into();
        let probabilities = [("happy".to_owned(), 0.7), ("\u{1F600}".to_owned(), 0.3)].into_iter().collect();
        let label = Label { emotion: "happy".into(), confidence: 0.7, probabilities };
        let told = vec![
            Update::Stage("decode"),
            Update::Label(Arc::new(label)),
            Update::Text("happy ".into()),
            Update::Text("\u{1F600}".into()),
        ];
        let (kept, text) = Kept::new(told.clone(), Arc::new(analysis)).unwrap();
        let again = Kept::read(&text, "m").unwrap();
        assert_eq!((&again.told, &again.answer), (&told, &kept.answer));
        assert!(Kept::read(&text, "another").is_none());
        for end in 0..text.len() {
            assert!(Kept::read(&text[..end], "m").is_none(), "{end}");
        }
        for (from, to) in [("\"form\":2", "\"form\":1"), ("\"decode\"", "\"other\""), ("\"told\"", "\"said\"")] {
            let changed = String::from_utf8(text.clone()).unwrap().replace(from, to);
            assert!(Kept::read(changed.as_bytes(), "m").is_none(), "{to}");
        }
        assert!(Kept::read(&[0xff, 0xfe, 0], "m").is_none());
    }
}
