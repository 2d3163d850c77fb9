//! The public keys of the issuer of tokens: from a file, or from an address, fetched again from time to time.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use crate::config::{self, ConfigError};

/// Most keys of a set.
const MOST: usize = 64;
/// Most bytes of a set.
const MOST_BYTES: u64 = 1 << 20;
/// Shortest modulus of an RSA key, in bytes: 2048 bits.
const SHORTEST_RSA: usize = 256;
/// How long an address may take to answer.
const FETCH: Duration = Duration::from_secs(10);
/// How often an unknown key may make us fetch the set again.
const HURRY: Duration = Duration::from_secs(30);

/// One public key.
pub struct Key {
    id: Option<String>,
    /// What it verifies, first of all what the set says.
    algorithms: Vec<Algorithm>,
    /// The key.
    pub key: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.id, self.algorithms)
    }
}

impl Key {
    /// A key that verifies signatures; None for others: symmetric ones, those for encryption, short ones, and kinds that are not known.
    fn of(jwk: &Jwk) -> Option<Self> {
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
            // A symmetric key in a set that others can read is no secret.
            _ => return None,
        };
        let algorithms = match jwk.common.key_algorithm {
            // `Algorithm` has no other way from one to the other.
            Some(stated) => {
                algorithms.into_iter().filter(|algorithm| format!("{algorithm:?}") == stated.to_string()).collect()
            }
            None => algorithms,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        if let jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() {
            let significant = n.iter().skip_while(|byte| **byte == 0).count();
            if significant < SHORTEST_RSA {
                return None;
            }
        }
        (!algorithms.is_empty()).then(|| Self { id: jwk.common.key_id.clone(), algorithms, key })
    }
}

/// The keys of an issuer at one time.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWKS document. Keys of which we can make nothing are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|error| format!("it is no JWKS document: {error}"))?;
        if document.keys.len() > MOST {
            return Err(format!("it has {} keys; at most {MOST} are taken", document.keys.len()));
        }
        let parsed = document.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<Key> = parsed.filter_map(|jwk| Key::of(&jwk)).collect();
        if keys.is_empty() {
            return Err(
                "it has no public key that verifies signatures (RSA from 2048 bits, P-256, P-384 or Ed25519)".into()
            );
        }
        Ok(Self(keys))
    }

    /// The keys that may have signed a token: those with its key's name, or, when it names none, all, of those that its algorithm fits.
    pub fn candidates<'a>(&'a self, id: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> + 'a {
        self.0
            .iter()
            .filter(move |key| key.algorithms.contains(&algorithm) && id.is_none_or(|id| key.id.as_deref() == Some(id)))
    }

    /// Whether there is a key of that name.
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the set comes from.
enum Origin {
    File(PathBuf),
    Url { url: String, agent: ureq::Agent },
}

/// The keys as they are now.
pub struct Issuer {
    origin: Origin,
    every: Duration,
    keys: ArcSwap<KeySet>,
    state: Mutex<State>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the file that was read.
    time: Option<SystemTime>,
    tried: Option<Instant>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({:?})", self.keys.load())
    }
}

impl Issuer {
    /// As configured; None where neither a file nor an address is. A file is read at once, an address is asked later.
    ///
    /// # Errors
    /// Names the file or the address that cannot be used.
    pub fn new(jwt: &config::Jwt) -> Result<Option<Self>, ConfigError> {
        let (origin, keys, time) = match (&jwt.jwks_file, &jwt.jwks_url) {
            (Some(path), _) => {
                let time = changed(path);
                (Origin::File(path.clone()), read(path).map_err(ConfigError::new)?, time)
            }
            (None, Some(url)) => (Origin::Url { url: check_url(url)?, agent: agent() }, KeySet::default(), None),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            origin,
            every: Duration::from_secs_f64(jwt.refresh_s),
            keys: ArcSwap::from_pointee(keys),
            state: Mutex::new(State { time, tried: None }),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// The keys as they are now.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// The keys, fetched again when there is none of the name `id`, but not too often: anybody can send tokens that name keys.
    pub async fn keys_with(&self, id: Option<&str>) -> Arc<KeySet> {
        let keys = self.keys();
        if !keys.is_empty() && id.is_none_or(|id| keys.knows(id)) {
            return keys;
        }
        self.fetch(HURRY).await;
        self.keys()
    }

    /// Looks whether there are other keys: at a file when it was changed, at an address from time to time.
    pub async fn refresh(&self) {
        match &self.origin {
            Origin::File(_) => self.fetch(Duration::ZERO).await,
            Origin::Url { .. } if self.keys.load().is_empty() => self.fetch(HURRY).await,
            Origin::Url { .. } => self.fetch(self.every).await,
        }
    }

    async fn fetch(&self, patience: Duration) {
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.tried.is_some_and(|tried| now.duration_since(tried) < patience) {
                return;
            }
            state.tried = Some(now);
            if let Origin::File(path) = &self.origin {
                let time = changed(path);
                if time == state.time {
                    return;
                }
                state.time = time;
            }
        }
        let outcome = match &self.origin {
            Origin::File(path) => read(path),
            Origin::Url { url, agent } => {
                let (url, agent) = (url.clone(), agent.clone());
                tokio::task::spawn_blocking(move || ask(&agent, &url))
                    .await
                    .unwrap_or_else(|error| Err(error.to_string()))
            }
        };
        match outcome {
            Ok(keys) => {
                tracing::debug!(?keys, "the issuer's keys were read");
                self.keys.store(Arc::new(keys));
            }
            Err(error) => tracing::warn!(%error, "the issuer's keys cannot be read; those before stay"),
        }
    }
}

fn read(path: &std::path::Path) -> Result<KeySet, String> {
    let wrong = |why: String| format!("the issuer's keys {}: {why}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    KeySet::parse(&text).map_err(wrong)
}

fn changed(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Whoever can change what an address answers can sign tokens: only encrypted ones, and this machine's own.
fn check_url(url: &str) -> Result<String, ConfigError> {
    let local = [
        "http://127.0.0.1:",
        "http://127.0.0.1/",
        "http://localhost:",
        "http://localhost/",
        "http://[::1]:",
        "http://[::1]/",
    ];
    if url.starts_with("https://") || local.iter().any(|start| url.starts_with(start)) {
        return Ok(url.to_owned());
    }
    Err(ConfigError::new(format!("jwt.jwks_url is {url}; give an https:// address")))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(FETCH))
        .max_redirects(0)
        .http_status_as_error(true)
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::WebPki).build())
        .build()
        .into()
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<KeySet, String> {
    let wrong = |why: String| format!("the issuer's keys at {url}: {why}");
    let mut response = agent.get(url).call().map_err(|error| wrong(error.to_string()))?;
    if !response.status().is_success() {
        return Err(wrong(format!("the answer is {}", response.status())));
    }
    let text =
        response.body_mut().with_config().limit(MOST_BYTES).read_to_vec().map_err(|error| wrong(error.to_string()))?;
    KeySet::parse(&text).map_err(wrong)
}
