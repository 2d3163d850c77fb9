//! A server that is spoken to, what is asked of it, and the head of what it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderValue, Method, Response};
use ureq::tls::TlsConfig;

use super::address::Address;
use super::multipart::Multipart;
use crate::error::{Error, Result};

/// One server. `exchange.rs` speaks with it.
pub(super) struct Client {
    pub address: Address,
    pub key: Option<Key>,
    pub tls: TlsConfig,
    pub timeout: Duration,
    pub connect_timeout: Duration,
}

/// An API key, which is never shown.
#[derive(Clone)]
pub(super) struct Key {
    pub plain: HeaderValue,
    pub bearer: HeaderValue,
}

impl Key {
    /// # Errors
    /// `invalid_argument` for a key that no header can hold.
    pub fn new(key: &str) -> Result<Self> {
        if key.is_empty() || key.len() > 8192 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid_argument(
                "api_key cannot be sent; give 1 to 8192 printable ASCII characters without spaces",
            ));
        }
        let header = |text: &str| {
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| Error::invalid_argument("api_key cannot be sent; give printable ASCII characters"))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        Ok(Self { plain: header(key)?, bearer: header(&format!("Bearer {key}"))? })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// What is asked of the server.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: Method,
    /// The server's path, with a slash at its start.
    pub target: String,
    pub accept: &'static str,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Empty,
    Json(Arc<[u8]>),
    Form(Arc<Multipart>),
}

impl Call {
    /// GET of JSON.
    pub fn get(target: &str) -> Self {
        Self { method: Method::GET, target: target.to_owned(), accept: "application/json", body: Body::Empty }
    }

    /// POST of `body` for JSON.
    pub fn post(target: String, body: Body) -> Self {
        Self { method: Method::POST, target, accept: "application/json", body }
    }
}

/// Status and headers of an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub status: u16,
    /// In lower case, without parameters.
    pub content_type: String,
    pub api_version: Option<String>,
    pub retry_after: Option<String>,
    pub allow: Option<String>,
    pub location: Option<String>,
}

impl Head {
    pub fn of<B>(response: &Response<B>) -> Self {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = text("content-type").unwrap_or_default();
        Self {
            status: response.status().as_u16(),
            content_type: kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
            api_version: text("x-api-version"),
            retry_after: text("retry-after"),
            allow: text("allow"),
            location: text("location"),
        }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
