//! Encrypted connections: rustls, with a certificate that is read again when its files change. Connections that are there stay as they are.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

use crate::config::{self, ConfigError};
use crate::state::App;

/// The server's side of encrypted connections.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate as it is now.
#[derive(Debug)]
struct Current {
    certificate: PathBuf,
    key: PathBuf,
    every: Duration,
    pair: ArcSwap<CertifiedKey>,
    seen: Mutex<Option<[Seen; 2]>>,
}

/// What tells that a file is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    time: Option<SystemTime>,
    bytes: u64,
    file: u64,
}

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { time: metadata.modified().ok(), bytes: metadata.len(), file: metadata.ino() })
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

impl Current {
    fn look(&self) -> Option<[Seen; 2]> {
        Some([Seen::of(&self.certificate)?, Seen::of(&self.key)?])
    }

    /// Reads the files again if they were changed. A pair that cannot be used, for example while only one of the files was written, is not
    /// taken, and looked at again the next time.
    fn refresh(&self) {
        let now = self.look();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() && now == *seen {
            return;
        }
        match read(&self.certificate, &self.key) {
            Ok(pair) => {
                self.pair.store(Arc::new(pair));
                *seen = now;
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate was changed and cannot be used; the one before stays")
            }
        }
    }
}

impl Tls {
    /// With the configured certificate; None without one.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(config: &config::Tls) -> Result<Option<Self>, ConfigError> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let current = Arc::new(Current {
            seen: Mutex::new(None),
            pair: ArcSwap::from_pointee(read(certificate, key)?),
            every: Duration::from_secs_f64(config.reload_s),
            certificate: certificate.clone(),
            key: key.clone(),
        });
        *current.seen.lock().unwrap_or_else(PoisonError::into_inner) = current.look();
        let mut settings = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new(format!("tls: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(settings)), current }))
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// What the other side does wrong.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    /// Looks at the files from time to time, until the server stops.
    pub async fn keep_fresh(self, app: Arc<App>) {
        let mut ticks = tokio::time::interval(self.current.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.stopping() => return,
                _ = ticks.tick() => {}
            }
            let current = Arc::clone(&self.current);
            // Reading files waits; where that fails, the next look will do.
            let _ = tokio::task::spawn_blocking(move || current.refresh()).await;
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, ConfigError> {
    let wrong = |path: &Path, why: String| ConfigError::new(format!("{}: {why}; give a PEM file", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "it holds no certificate".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    CertifiedKey::from_der(chain, secret, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => ConfigError::new(format!(
            "{} is not the key of the certificate {}; give the two that belong together",
            key.display(),
            certificate.display()
        )),
        error => wrong(certificate, error.to_string()),
    })
}
