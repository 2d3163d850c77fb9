//! The same questions over HTTP, to a server that runs.
//!
//! A [`Remote`] answers as an [`Engine`](crate::engine::Engine) does. It speaks three protocols and finds out by itself which one a server
//! knows: our own (docs/http-v1.md), and the two documented ones of the published model, which take a clip and a question and give
//! text alone. What such a server does not tell is left out of the [`Analysis`], never made up.
//!
//! Nothing is read from the environment: no proxy, no key. A redirect is followed only within the same server.

mod address;
mod client;
mod clip;
mod exchange;
mod failure;
mod multipart;
mod published;
mod sse;
mod v1;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use ureq::tls::{parse_pem, PemItem, RootCerts, TlsConfig};

use self::address::Address;
use self::client::{Call, Client, Head, Key};
use self::clip::SentClip;
use self::multipart::Media;
use self::published::Published;
use crate::analysis::{milliseconds, Analysis};
use crate::cancel::CancelToken;
use crate::engine::media_pick;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::face::FramePick;
use crate::media::{Clip, Sampling, Source};
use crate::request::{check_text, ClipRequest, Question, Request, Transcript};

/// The longest that a server may take for each question about what it is.
const INTRODUCTION: Duration = Duration::from_secs(30);
/// How long dropping a session waits for the server to hear of it, and how long it is tried at all.
const FAREWELL: Duration = Duration::from_millis(90);
const FAREWELL_CALL: Duration = Duration::from_secs(5);
/// Most pictures of a live clip that are sent.
const MAX_FRAMES: usize = 64;
/// Longest time limit, in seconds: a year.
const MAX_TIMEOUT_S: f64 = 31_536_000.0;

/// Whether a local file is sent to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Upload {
    /// A file that can be read here is sent; any other path is taken for one of the server's machine.
    #[default]
    Auto,
    /// Every path is one of the server's machine. Bytes are sent.
    Never,
}

/// How a server is spoken to.
#[derive(Clone)]
pub struct RemoteOptions {
    /// Sent as `Authorization: Bearer` and `X-API-Key`. Never shown, logged or sent to another server; only the HTTP library's own
    /// record of every byte, at the level `trace` of the target `ureq_proto`, holds it.
    pub api_key: Option<String>,
    /// The longest that a call may take from its beginning to its end, in seconds. Default 600.
    pub timeout_s: f64,
    /// The longest that looking up the host may take, and connecting to it, in seconds. Default 10.
    pub connect_timeout_s: f64,
    /// A PEM file of certificates. The server's must be signed by one of them; without it, by one that Mozilla trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether a local file is sent.
    pub upload: Upload,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self { api_key: None, timeout_s: 600.0, connect_timeout_s: 10.0, ca_file: None, upload: Upload::Auto }
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("api_key", &self.api_key.as_ref().map(|_| "hidden"))
            .field("timeout_s", &self.timeout_s)
            .field("connect_timeout_s", &self.connect_timeout_s)
            .field("ca_file", &self.ca_file)
            .field("upload", &self.upload)
            .finish()
    }
}

/// A server that answers. Clones are the same server; every method may be called from many threads at once. A call blocks its thread and
/// returns within 100 ms when its token is cancelled, whatever the server does; the server sees the connection close.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    client: Client,
    protocol: Protocol,
    info: Value,
    upload: Upload,
}

enum Protocol {
    V1,
    Published(Published),
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {})", self.0.client.address, self.info()["protocol"])
    }
}

impl Remote {
    /// Asks the server at `url`, `http://…` or `https://…`, what it is. The URL of one of its documented calls will do too.
    ///
    /// # Errors
    /// `invalid_argument` for a URL or option that cannot be used, a missing or refused key; `unreachable` when nothing answers there, or
    /// something else than an Emotion-LLaMA server; `overloaded`, `timeout`, `cancelled`.
    pub fn open(url: &str, options: &RemoteOptions, cancel: &CancelToken) -> Result<Self> {
        let client = Client {
            address: Address::parse(url)?,
            key: options.api_key.as_deref().map(Key::new).transpose()?,
            tls: tls(options.ca_file.as_deref())?,
            timeout: limit("timeout_s", options.timeout_s)?,
            connect_timeout: limit("connect_timeout_s", options.connect_timeout_s)?,
        };
        if client.key.is_some() && client.address.is_exposed() {
            tracing::warn!(url = %client.address, "the API key is sent unencrypted to another machine; use https://");
        }
        let (protocol, info) = introduce(&client, cancel)?;
        tracing::debug!(url = %client.address, protocol = %info["protocol"], "opened");
        Ok(Self(Arc::new(Inner { client, protocol, info, upload: options.upload })))
    }

    /// What the server says of itself: an object with `protocol` (`v1`, `gradio` or `fastapi`), `url`, `labels` and `tasks`; with `v1` also
    /// `api_version`, `pack` (`name`, `version`, `digest`, `architecture`), `devices` and all its `models`, else `server` (`name`, `version`).
    pub fn info(&self) -> &Value {
        &self.0.info
    }

    /// Which frames of a live clip are sent when `frame` is to be described: the sampling for [`crate::live::LiveBuffer::clip`].
    pub fn sampling(&self, frame: FramePick) -> Sampling {
        Sampling { pick: media_pick(frame), max_frames: MAX_FRAMES, ..Sampling::default() }
    }

    /// Analyses one clip, as [`Engine::analyze`](crate::engine::Engine::analyze). `on_event` is called on this thread.
    ///
    /// # Errors
    /// What the server says, of the kind that it says; `unreachable`, `timeout`, `overloaded`, `cancelled`; `invalid_argument` for a clip
    /// that such a server cannot be given.
    pub fn analyze(
        &self,
        request: &Request,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let began = Instant::now();
        check(&request.question, &request.transcript)?;
        cancel.check()?;
        let media = self.media(request)?;
        let client = &self.0.client;
        let mut analysis = match &self.0.protocol {
            Protocol::V1 => v1::analyze(client, request, media, cancel, on_event)?,
            Protocol::Published(server) => published::analyze(server, client, request, media, cancel, on_event)?,
        };
        analysis.timings_ms.total = milliseconds(began);
        Ok(analysis)
    }

    /// [`Remote::analyze`] of a clip that is there already: it is sent as a file.
    ///
    /// # Errors
    /// As [`Remote::analyze`] and [`crate::media::encode`].
    pub fn analyze_clip(
        &self,
        clip: &Clip,
        request: &ClipRequest,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let began = Instant::now();
        check(&request.question, &request.transcript)?;
        let (sent, request) = SentClip::new(clip, request, cancel)?;
        let mut analysis = self.analyze(&request, cancel, on_event)?;
        sent.restore(&mut analysis);
        analysis.timings_ms.total = milliseconds(began);
        Ok(analysis)
    }

    /// A session about one clip: the server reads it once, questions follow each other.
    ///
    /// # Errors
    /// As [`Remote::analyze`]; `invalid_argument` when such a server keeps no sessions.
    pub fn session(&self, request: &Request, cancel: &CancelToken) -> Result<RemoteSession> {
        self.check_sessions()?;
        check(&request.question, &request.transcript)?;
        let id = v1::open_session(&self.0.client, request, self.media(request)?, cancel)?;
        Ok(RemoteSession { remote: self.clone(), id, sent: SentClip::default() })
    }

    /// [`Remote::session`] about a clip that is there already.
    ///
    /// # Errors
    /// As [`Remote::session`] and [`crate::media::encode`].
    pub fn session_of_clip(&self, clip: &Clip, request: &ClipRequest, cancel: &CancelToken) -> Result<RemoteSession> {
        self.check_sessions()?;
        let (sent, request) = SentClip::new(clip, request, cancel)?;
        let mut session = self.session(&request, cancel)?;
        session.sent = sent;
        Ok(session)
    }

    fn check_sessions(&self) -> Result<()> {
        match self.0.protocol {
            Protocol::V1 => Ok(()),
            Protocol::Published(_) => Err(Error::invalid_argument(format!(
                "{} keeps no sessions; ask each question with an analysis of its own",
                self.0.client.address
            ))),
        }
    }

    /// What is sent of the request's clip; None for a file of the server.
    fn media(&self, request: &Request) -> Result<Option<Media>> {
        let takes_uploads = !matches!(self.0.protocol, Protocol::Published(Published::FastApi));
        let is_wanted = match request.source {
            Source::Bytes(_) | Source::File(_) => true,
            Source::Path(_) => self.0.upload == Upload::Auto,
        };
        if takes_uploads && is_wanted {
            Media::of(&request.source, &request.limits)
        } else {
            Ok(None)
        }
    }
}

/// A session on a server. It ends there when this is dropped.
pub struct RemoteSession {
    remote: Remote,
    id: String,
    sent: SentClip,
}

impl fmt::Debug for RemoteSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSession({:?})", self.remote)
    }
}

impl RemoteSession {
    /// Asks the next question. The questions and answers before it are known to the model.
    ///
    /// # Errors
    /// As [`Remote::analyze`]; `not_found` when the server has forgotten the session.
    pub fn ask(
        &mut self,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let began = Instant::now();
        question.validate()?;
        let mut analysis = v1::ask_session(&self.remote.0.client, &self.id, question, cancel, on_event)?;
        self.sent.restore(&mut analysis);
        analysis.timings_ms.total = milliseconds(began);
        Ok(analysis)
    }

    /// Forgets the questions and answers, not the clip.
    ///
    /// # Errors
    /// As [`RemoteSession::ask`].
    pub fn reset(&mut self, cancel: &CancelToken) -> Result<()> {
        v1::reset_session(&self.remote.0.client, &self.id, cancel)
    }
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        let (remote, id) = (self.remote.clone(), std::mem::take(&mut self.id));
        let (sender, done) = sync_channel(1);
        let farewell = move || {
            let outcome = v1::close_session(&remote.0.client, &id, Instant::now() + FAREWELL_CALL);
            if let Err(error) = outcome {
                tracing::debug!(%error, "a session was not ended; the server will do so");
            }
            let _ = sender.send(());
        };
        if thread::Builder::new().name("emotion-llama-bye".into()).spawn(farewell).is_ok() {
            let _ = done.recv_timeout(FAREWELL);
        }
    }
}

/// Finds out which protocol the server speaks.
fn introduce(client: &Client, cancel: &CancelToken) -> Result<(Protocol, Value)> {
    let mut tried = Vec::new();
    let mut ask = |call: Call| -> Result<(Head, Vec<u8>)> {
        let deadline = Instant::now() + client.timeout.min(INTRODUCTION);
        let (head, body) = client.fetch(&call, deadline, cancel)?;
        if matches!(head.status, 401 | 403 | 429 | 503) {
            return Err(failure::of_answer(&head, &body, client, &call.target));
        }
        tried.push(format!("{} gave {}", call.target, head.status));
        Ok((head, body))
    };
    let (head, body) = ask(v1::models_call())?;
    if let Some(info) = v1::recognise(&head, &body, client)? {
        return Ok((Protocol::V1, info));
    }
    let (head, body) = ask(Call::get("/config"))?;
    if let Some((server, of_server)) = published::gradio(&body).filter(|_| head.is_success()) {
        let info = published::info(&server, &of_server, client);
        return Ok((Protocol::Published(server), info));
    }
    let (head, _) = ask(Call::get("/process_video"))?;
    if head.status == 405 && head.allow.as_deref().is_some_and(|allow| allow.contains("POST")) {
        let info = published::info(&Published::FastApi, &json!({"name": "fastapi"}), client);
        return Ok((Protocol::Published(Published::FastApi), info));
    }
    Err(Error::unreachable(format!(
        "{} answers, but is no Emotion-LLaMA server that this release knows ({}); check the URL",
        client.address,
        tried.join(", ")
    )))
}

/// Refuses what no server can answer, before anything is sent.
fn check(question: &Question, transcript: &Transcript) -> Result<()> {
    question.validate()?;
    match transcript {
        Transcript::Text(text) => check_text("transcript", Some(text)),
        Transcript::Auto | Transcript::None => Ok(()),
    }
}

fn limit(name: &str, seconds: f64) -> Result<Duration> {
    if seconds.is_finite() && seconds > 0.0 && seconds <= MAX_TIMEOUT_S {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Error::invalid_argument(format!(
        "{name} is {seconds}; give a number of seconds above 0, at most {MAX_TIMEOUT_S}"
    )))
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig> {
    let Some(path) = ca_file else {
        return Ok(TlsConfig::builder().root_certs(RootCerts::WebPki).build());
    };
    let wrong = |why: String| Error::invalid_argument(format!("ca_file {} cannot be used: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate; give a PEM file".into()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}
