//! What can be set: one struct for each topic, read from a file, the environment and flags.

mod flags;
mod load;
mod secret;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use emotion_llama_core::placement::Placement;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use flags::Flags;
pub use load::{load, ConfigError};
pub use secret::Secret;

/// All of the configuration. Every field has a default; one that is not known is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens.
    pub listen: Listen,
    /// Which model answers.
    pub model: Model,
    /// How much runs at the same time.
    pub queue: Queue,
    /// What is refused for its size or its time.
    pub limits: Limits,
    /// Which files may be read.
    pub files: Files,
    /// Conversations about one clip.
    pub sessions: Sessions,
    /// Who may call.
    pub access: Access,
    /// OAuth 2.0 bearer tokens.
    pub jwt: Jwt,
    /// How often one may call.
    pub rates: Rates,
    /// Answers that are kept.
    pub cache: Cache,
    /// Encrypted connections.
    pub tls: Tls,
    /// Which pages of other origins may call.
    pub cors: Cors,
    /// What is logged.
    pub log: Log,
    /// What is counted.
    pub metrics: Metrics,
    /// The page at `/`, and the page about the API at `/docs`.
    pub page: Page,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The address.
    pub host: IpAddr,
    /// The port, the one that the published Gradio server has; 0 for any that is free.
    pub port: u16,
    /// A second port with the same answers: the published FastAPI server's is 7887.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fastapi_port: Option<u16>,
    /// Whether a public address may be bound without keys or tokens.
    pub insecure: bool,
    /// Most connections at the same time; further ones wait to be taken.
    pub connections: usize,
    /// Seconds that what runs is given to finish when the server is told to stop.
    pub grace_s: f64,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7889,
            fastapi_port: None,
            insecure: false,
            connections: 1024,
            grace_s: 30.0,
        }
    }
}

/// Which model answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// A pack's name, or its directory.
    pub pack: String,
    /// Directories in which packs are looked for by name, before those of the command.
    pub search: Vec<PathBuf>,
    /// Threads of one analysis; 0 for one per processor.
    pub threads: usize,
    /// Where it computes: `auto`, `cpu`, `cuda`, `cuda:NUMBER` or `cuda:UUID`.
    pub device: Placement,
    /// Whether every file's checksum is compared while the pack loads.
    pub verify: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            pack: "emotion-llama-mini".into(),
            search: Vec::new(),
            threads: 0,
            device: Placement::Auto,
            verify: true,
        }
    }
}

/// How much runs at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Analyses that run side by side, each with threads of its own; their texts are written together.
    pub running: usize,
    /// Analyses that wait for their turn; a further one is refused with 503.
    pub waiting: usize,
    /// Seconds that one waits at most before it is refused.
    pub wait_s: f64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { running: 4, waiting: 64, wait_s: 300.0 }
    }
}

/// What is refused for its size or its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes of a JSON body.
    pub body_bytes: u64,
    /// Most bytes of an uploaded clip.
    pub upload_bytes: u64,
    /// Most bytes of a clip inside JSON, which is held in memory while it is read.
    pub inline_bytes: u64,
    /// Seconds in which the head of a request must arrive.
    pub head_s: f64,
    /// Seconds in which the body of a request must arrive.
    pub body_s: f64,
    /// Seconds without a byte after which the body of a request is given up, and the answer when nobody reads it.
    pub idle_s: f64,
    /// Seconds that one analysis may compute.
    pub analysis_s: f64,
    /// Longest clip, in seconds.
    pub clip_s: f64,
    /// Most pixels of a picture.
    pub pixels: u64,
    /// Most streams of a file.
    pub streams: usize,
    /// Most tokens of an answer; a request that asks for more gets these.
    pub new_tokens: usize,
    /// Most clips of one batch.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            upload_bytes: 256 << 20,
            inline_bytes: 64 << 20,
            head_s: 15.0,
            body_s: 600.0,
            idle_s: 30.0,
            analysis_s: 600.0,
            clip_s: 600.0,
            pixels: 8192 * 8192,
            streams: 64,
            new_tokens: 2048,
            batch: 256,
        }
    }
}

/// Which files may be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// The directories below which clips may be named by path. Without one, paths work for clients on this machine only.
    pub media_roots: Vec<PathBuf>,
    /// The directory with this server's temporary files; by default one below the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_dir: Option<PathBuf>,
    /// Most bytes of all uploads together.
    pub upload_total_bytes: u64,
    /// Seconds that a clip is kept which was uploaded on its own, to be named later.
    pub keep_s: f64,
}

impl Default for Files {
    fn default() -> Self {
        Self { media_roots: Vec::new(), upload_dir: None, upload_total_bytes: 4 << 30, keep_s: 3600.0 }
    }
}

/// Conversations about one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Most of them; a further one is refused with 503.
    pub most: usize,
    /// Seconds after which one that is not used ends.
    pub idle_s: f64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { most: 64, idle_s: 900.0 }
    }
}

/// Who may call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Keys in clear text, for small installations; better is `keys_file`.
    pub keys: Vec<Secret>,
    /// A TOML file of hashed keys with their names and limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// Addresses that may call; empty for all.
    pub allow: Vec<IpNet>,
    /// Addresses that may not.
    pub deny: Vec<IpNet>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether `/metrics` wants a key too.
    pub protect_metrics: bool,
}

/// OAuth 2.0 bearer tokens: signed JSON Web Tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// The issuer that a token must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The audience that a token must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// A file with the issuer's public keys (JWKS).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// The address of the issuer's public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The scope that a token must hold; none is asked for by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What tokens may be signed with.
    pub algorithms: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway_s: u64,
    /// Seconds after which the address of the keys is asked again.
    pub refresh_s: f64,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_file: None,
            jwks_url: None,
            scope: None,
            algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
                .map(str::to_owned)
                .into(),
            leeway_s: 30,
            refresh_s: 600.0,
        }
    }
}

/// How often one may call. A rate is written as upstream's documentation writes it: `10/minute`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// For each key that has no rate of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_key: Option<String>,
    /// For each address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_address: Option<String>,
}

/// Answers that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Most bytes in memory; 0 keeps none. Then, without a shared store, equal requests that come at the same time run one by one, too.
    pub bytes: u64,
    /// Seconds that an answer is kept.
    pub keep_s: f64,
    /// A Redis or Valkey server that several servers share, for example `redis://localhost:6379/0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_url: Option<Secret>,
    /// What the names of our entries begin with there.
    pub redis_prefix: String,
}

impl Default for Cache {
    fn default() -> Self {
        Self { bytes: 64 << 20, keep_s: 3600.0, redis_url: None, redis_prefix: "emotion-llama:".into() }
    }
}

/// Encrypted connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that signed it, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Seconds between two looks whether the files have changed.
    pub reload_s: f64,
    /// Seconds for which browsers are told to come by encrypted connections alone (`Strict-Transport-Security`); 0 tells them nothing.
    pub hsts_s: u64,
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificate: None, key: None, reload_s: 30.0, hsts_s: 0 }
    }
}

/// Which pages of other origins may call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins such as `https://example.org`; `*` for all.
    pub origins: Vec<String>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// Directives such as `info` or `emotion_llama_server=debug`.
    pub filter: String,
    /// Whether questions, transcripts and answers may be logged.
    pub content: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into(), content: false }
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether there is `/metrics`.
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The page at `/`, and the page about the API at `/docs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Whether there are such pages.
    pub enabled: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Config {
    /// Whether callers must show who they are.
    pub fn wants_credentials(&self) -> bool {
        !self.access.keys.is_empty()
            || self.access.keys_file.is_some()
            || self.jwt.jwks_file.is_some()
            || self.jwt.jwks_url.is_some()
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Names the field, its value and what to give.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let seconds = [
            ("listen.grace_s", self.listen.grace_s, 0.0),
            ("queue.wait_s", self.queue.wait_s, 0.001),
            ("limits.head_s", self.limits.head_s, 0.001),
            ("limits.body_s", self.limits.body_s, 0.001),
            ("limits.idle_s", self.limits.idle_s, 0.001),
            ("limits.analysis_s", self.limits.analysis_s, 0.001),
            ("limits.clip_s", self.limits.clip_s, 0.001),
            ("files.keep_s", self.files.keep_s, 0.001),
            ("sessions.idle_s", self.sessions.idle_s, 0.001),
            ("cache.keep_s", self.cache.keep_s, 0.001),
            ("jwt.refresh_s", self.jwt.refresh_s, 1.0),
            ("tls.reload_s", self.tls.reload_s, 0.1),
        ];
        /// A year; beyond it, times cannot be added up safely.
        const LONGEST: f64 = 31_536_000.0;
        for (name, value, least) in seconds {
            if !(value >= least && value <= LONGEST) {
                return Err(ConfigError::new(format!("{name} is {value}; give {least} to {LONGEST} seconds")));
            }
        }
        let counts = [
            ("listen.connections", self.listen.connections),
            ("queue.running", self.queue.running),
            ("limits.new_tokens", self.limits.new_tokens),
            ("limits.batch", self.limits.batch),
            ("limits.streams", self.limits.streams),
        ];
        /// What the semaphore that counts them can hold, and more than any machine has.
        const MOST: usize = 1 << 20;
        if let Some((name, value)) = counts.into_iter().find(|(_, value)| !(1..=MOST).contains(value)) {
            return Err(ConfigError::new(format!("{name} is {value}; give 1 to {MOST}")));
        }
        if self.queue.waiting > MOST {
            return Err(ConfigError::new(format!("queue.waiting is {}; give 0 to {MOST}", self.queue.waiting)));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(ConfigError::new("tls.certificate and tls.key belong together; give both or neither"));
        }
        if self.jwt.jwks_file.is_some() && self.jwt.jwks_url.is_some() {
            return Err(ConfigError::new("jwt.jwks_file and jwt.jwks_url are both given; give one"));
        }
        /// Beyond it, tokens that have expired are as good as others.
        const MOST_LEEWAY_S: u64 = 300;
        if self.jwt.leeway_s > MOST_LEEWAY_S {
            return Err(ConfigError::new(format!("jwt.leeway_s is {}; give 0 to {MOST_LEEWAY_S}", self.jwt.leeway_s)));
        }
        let is_public = !self.listen.host.is_loopback();
        if is_public && !self.wants_credentials() && !self.listen.insecure {
            return Err(ConfigError::new(format!(
                "listen.host is {}, which other machines reach, but nobody is asked who they are; set access.keys_file, access.keys or [jwt], \
                 or say --insecure if something else guards this server",
                self.listen.host
            )));
        }
        Ok(())
    }
}
