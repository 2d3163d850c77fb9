//! The server from its beginning to its end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::pack::PackRef;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError};
use crate::listen::{self, Listener};
use crate::operate::tls::Tls;
use crate::router;
use crate::state::App;

/// How long what was halted is waited for.
const HALT: Duration = Duration::from_secs(2);

/// Why a server could not begin, or ended.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration cannot be used.
    Config(ConfigError),
    /// The address cannot be bound.
    Bind(SocketAddr, std::io::Error),
    /// The model cannot be opened.
    Model(emotion_llama_core::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Config(error) => error.fmt(f),
            ServeError::Bind(address, error) => {
                write!(f, "{address} cannot be listened at: {error}; stop what uses it, or give another --port")
            }
            ServeError::Model(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> Self {
        ServeError::Config(error)
    }
}

/// A server that is bound and does not answer yet.
pub struct Server {
    app: Arc<App>,
    listeners: Vec<Listener>,
    options: EngineOptions,
}

impl Server {
    /// Checks the configuration and binds the addresses. `search` are directories with packs, after those of the configuration.
    ///
    /// # Errors
    /// Names the setting or the address.
    pub async fn bind(config: Config, search: Vec<std::path::PathBuf>) -> Result<Self, ServeError> {
        let app = App::new(config)?;
        let config = &app.config;
        let tls = Tls::load(&config.tls)?;
        if let Some(tls) = &tls {
            tokio::spawn(tls.clone().keep_fresh(Arc::clone(&app)));
        }
        let options = EngineOptions {
            search: config.model.search.iter().cloned().chain(search).collect(),
            verify: config.model.verify,
            threads: config.model.threads,
            device: config.model.device.clone(),
        };
        let mut listeners = Vec::new();
        for port in [Some(config.listen.port), config.listen.fastapi_port].into_iter().flatten() {
            let address = SocketAddr::new(config.listen.host, port);
            let bound = Listener::bind(address, tls.clone()).await.map_err(|error| ServeError::Bind(address, error))?;
            listeners.push(bound);
        }
        Ok(Self { app, listeners, options })
    }

    /// Where it listens: first the main port, then the second one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// The state, for what wants to look at it.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers from now on. The model loads meanwhile; until it is there, calls that need it get 503.
    pub fn start(self) -> Handle {
        let Self { app, listeners, options } = self;
        let addresses = listeners.iter().map(Listener::address).collect();
        let pack = PackRef::from(app.config.model.pack.as_str());
        let loading = {
            let app = Arc::clone(&app);
            tokio::task::spawn_blocking(move || {
                let engine = Engine::open_observed(&pack, &options, &app.cancel().child(), &|_| {})?;
                tracing::info!(pack = engine.pack().manifest().name, threads = engine.threads(), "the model is loaded");
                app.set_engine(engine);
                Ok(())
            })
        };
        let router = router::build(&app);
        let serving = listeners
            .into_iter()
            .map(|listener| tokio::spawn(listen::serve(listener, Arc::clone(&app), router.clone())))
            .collect();
        let house = tokio::spawn(Arc::clone(&app).keep_house());
        Handle { app, addresses, loading: Some(loading), serving, house }
    }
}

/// A server that answers.
pub struct Handle {
    app: Arc<App>,
    addresses: Vec<SocketAddr>,
    loading: Option<JoinHandle<emotion_llama_core::Result<()>>>,
    serving: Vec<JoinHandle<()>>,
    house: JoinHandle<()>,
}

impl Handle {
    /// Where it listens: first the main port, then the second one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The state, for what wants to look at it.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn ready(&mut self) -> Result<(), ServeError> {
        match self.loading.as_mut() {
            None => Ok(()),
            Some(loading) => {
                let outcome = loading.await;
                self.loading = None;
                match outcome {
                    Ok(outcome) => outcome.map_err(ServeError::Model),
                    Err(error) => {
                        Err(ServeError::Model(emotion_llama_core::Error::internal(format!("loading failed: {error}"))))
                    }
                }
            }
        }
    }

    /// Takes no new connections, lets what runs finish within the configured time, then stops it, and ends.
    pub async fn stop(mut self) {
        self.app.stop();
        if self.loading.is_some() {
            // Nobody will ask what it loads.
            self.app.cancel().cancel();
        }
        let grace = Duration::from_secs_f64(self.app.config.listen.grace_s);
        let finish = async {
            for serving in &mut self.serving {
                let _ = serving.await;
            }
            self.app.tasks.close();
            self.app.tasks.wait().await;
        };
        let mut finish = std::pin::pin!(finish);
        if tokio::time::timeout(grace, &mut finish).await.is_err() {
            tracing::warn!("what still ran was stopped, as its time was over");
            self.app.halt();
            let _ = tokio::time::timeout(HALT, finish).await;
        }
        self.house.abort();
    }
}
