//! Answers in Redis or Valkey, which several servers share. What goes wrong there is never an error of a request: it is then as if there
//! were none.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::AsyncCommands;

use super::key::Key;
use crate::config::{self, ConfigError};

/// How long a request waits for the store.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long the store is left alone after a failure.
const REST: Duration = Duration::from_secs(5);
/// Longest answer that is put in or taken out.
const LONGEST: usize = 4 << 20;

/// The shared store.
pub struct Store {
    connection: tokio::sync::OnceCell<ConnectionManager>,
    client: redis::Client,
    prefix: String,
    keep_s: u64,
    failed: Mutex<Option<Instant>>,
    is_known_bad: AtomicBool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.prefix)
    }
}

impl Store {
    /// As configured; None where no store is. It is not asked yet.
    ///
    /// # Errors
    /// When its address is none.
    pub fn new(config: &config::Cache) -> Result<Option<Self>, ConfigError> {
        let Some(url) = &config.redis_url else { return Ok(None) };
        // The reason is left out, as it may show the password.
        let client = redis::Client::open(url.reveal()).map_err(|_| {
            ConfigError::new(
                "cache.redis_url is no address; give redis://[user:password@]host[:port][/database], without TLS",
            )
        })?;
        Ok(Some(Self {
            connection: tokio::sync::OnceCell::new(),
            client,
            prefix: config.redis_prefix.clone(),
            keep_s: (config.keep_s.ceil() as u64).max(1),
            failed: Mutex::default(),
            is_known_bad: AtomicBool::new(false),
        }))
    }

    /// What is kept under `key`. `on_error` is called when the store fails.
    pub async fn get(&self, key: Key, on_error: impl Fn()) -> Option<Vec<u8>> {
        let name = self.name(key);
        let found: Option<Option<Vec<u8>>> =
            self.call(on_error, |mut connection| async move { connection.get(name).await }).await;
        found.flatten().filter(|value| value.len() <= LONGEST)
    }

    /// Keeps `value` under `key`.
    pub async fn put(&self, key: Key, value: Vec<u8>, on_error: impl Fn()) {
        if value.len() > LONGEST {
            return;
        }
        let (name, keep_s) = (self.name(key), self.keep_s);
        let _: Option<()> =
            self.call(on_error, |mut connection| async move { connection.set_ex(name, value, keep_s).await }).await;
    }

    fn name(&self, key: Key) -> String {
        format!("{}{}", self.prefix, key.to_hex())
    }

    async fn call<T, F>(&self, on_error: impl Fn(), ask: impl FnOnce(ConnectionManager) -> F) -> Option<T>
    where
        F: std::future::Future<Output = redis::RedisResult<T>>,
    {
        if self.lock().is_some_and(|failed| failed.elapsed() < REST) {
            return None;
        }
        let outcome = tokio::time::timeout(PATIENCE, async { ask(self.connection().await?).await }).await;
        let why = match outcome {
            Ok(Ok(value)) => {
                *self.lock() = None;
                if self.is_known_bad.swap(false, Ordering::Relaxed) {
                    tracing::info!("the shared store answers again");
                }
                return Some(value);
            }
            Ok(Err(error)) => error.category().to_owned(),
            Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
        };
        *self.lock() = Some(Instant::now());
        on_error();
        if !self.is_known_bad.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "the shared store does not answer; answers are kept in memory alone until it does");
        }
        None
    }

    async fn connection(&self) -> redis::RedisResult<ConnectionManager> {
        let connect = || {
            let settings = ConnectionManagerConfig::new()
                .set_number_of_retries(0)
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            ConnectionManager::new_with_config(self.client.clone(), settings)
        };
        self.connection.get_or_try_init(connect).await.cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
