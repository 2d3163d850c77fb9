//! Encrypted connections. HOOK (tls): reload on change.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

use crate::config::{self, ConfigError};

/// The server's side of encrypted connections.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// With the configured certificate; None without one.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(config: &config::Tls) -> Result<Option<Self>, ConfigError> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let wrong = |path: &std::path::Path, why: String| {
            ConfigError::new(format!("{}: {why}; give a PEM file", path.display()))
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|error| wrong(certificate, error.to_string()))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut settings = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|error| wrong(certificate, error.to_string()))?;
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self(TlsAcceptor::from(Arc::new(settings)))))
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// What the other side does wrong.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
