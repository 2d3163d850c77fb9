//! One interface to both places where a model can run: in this process, and in a server.

use serde_json::{json, Value};

use crate::analysis::Analysis;
use crate::cancel::CancelToken;
use crate::engine::{Engine, EngineOptions};
use crate::error::Result;
use crate::event::Event;
use crate::face::FramePick;
use crate::media::{Clip, Sampling};
use crate::pack::{LoadProgress, PackRef, FORMAT_VERSION};
use crate::remote::{Remote, RemoteOptions, RemoteSession};
use crate::request::{ClipRequest, Question, Request};
use crate::session::Session;

/// How a backend is opened; each place takes what is for it.
#[derive(Debug, Clone, Default)]
pub struct BackendOptions {
    /// For a pack.
    pub engine: EngineOptions,
    /// For a server.
    pub remote: RemoteOptions,
}

/// A model, wherever it runs. Clones share it; every method may be called from many threads at once.
#[derive(Clone)]
pub enum Backend {
    /// In this process.
    Embedded(Engine),
    /// In a server.
    Hosted(Remote),
}

impl Backend {
    /// Opens `source`: the `http://` or `https://` address of a running server, a pack's directory, or a pack's name. `report` is told how
    /// far the load of a pack is, from several threads.
    ///
    /// # Errors
    /// As [`Engine::open_observed`] and [`Remote::open`].
    pub fn open(
        source: &str,
        options: &BackendOptions,
        cancel: &CancelToken,
        report: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<Self> {
        if is_address(source) {
            return Ok(Backend::Hosted(Remote::open(source, &options.remote, cancel)?));
        }
        let pack = PackRef::from(source);
        Ok(Backend::Embedded(Engine::open_observed(&pack, &options.engine, cancel, report)?))
    }

    /// What the model is and can: a JSON object with `pack`, `labels`, `tasks`, `devices` and `threads`; of a server what it says of itself.
    pub fn info(&self) -> Value {
        let engine = match self {
            Backend::Embedded(engine) => engine,
            Backend::Hosted(remote) => return remote.info().clone(),
        };
        let pack = engine.pack();
        let manifest = pack.manifest();
        json!({
            "pack": {
                "name": manifest.name,
                "version": manifest.version,
                "digest": pack.digest(),
                "format_version": FORMAT_VERSION,
                "architecture": manifest.model.architecture(),
                "description": manifest.description,
            },
            "labels": manifest.labels,
            "tasks": manifest.model.tasks(),
            "devices": engine.devices(),
            "threads": engine.threads(),
        })
    }

    /// Which frames of a clip are looked at, as [`Engine::sampling`].
    pub fn sampling(&self, frame: FramePick) -> Sampling {
        match self {
            Backend::Embedded(engine) => engine.sampling(frame),
            Backend::Hosted(remote) => remote.sampling(frame),
        }
    }

    /// As [`Engine::analyze`].
    ///
    /// # Errors
    /// As [`Engine::analyze`] and [`Remote::analyze`].
    pub fn analyze(
        &self,
        request: &Request,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        match self {
            Backend::Embedded(engine) => engine.analyze(request, cancel, on_event),
            Backend::Hosted(remote) => remote.analyze(request, cancel, on_event),
        }
    }

    /// As [`Engine::analyze_clip`].
    ///
    /// # Errors
    /// As [`Engine::analyze_clip`] and [`Remote::analyze_clip`].
    pub fn analyze_clip(
        &self,
        clip: &Clip,
        request: &ClipRequest,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        match self {
            Backend::Embedded(engine) => engine.analyze_clip(clip, request, cancel, on_event),
            Backend::Hosted(remote) => remote.analyze_clip(clip, request, cancel, on_event),
        }
    }

    /// Begins a conversation about the clip that `request` names. Its question is not asked.
    ///
    /// # Errors
    /// As [`Engine::observe`] and [`Remote::session`].
    pub fn converse(&self, request: &Request, cancel: &CancelToken) -> Result<Conversation> {
        Ok(match self {
            Backend::Embedded(engine) => {
                let (observation, _) = engine.observe(request, cancel, &mut |_| {})?;
                Conversation::Embedded(Box::new(Session::new(engine, observation)))
            }
            Backend::Hosted(remote) => Conversation::Hosted(remote.session(request, cancel)?),
        })
    }

    /// As [`Backend::converse`], about a clip that is there already.
    ///
    /// # Errors
    /// As [`Engine::observe_clip`] and [`Remote::session_of_clip`].
    pub fn converse_about(&self, clip: &Clip, request: &ClipRequest, cancel: &CancelToken) -> Result<Conversation> {
        Ok(match self {
            Backend::Embedded(engine) => {
                let observation = engine.observe_clip(clip, request, cancel, &mut |_| {})?;
                Conversation::Embedded(Box::new(Session::new(engine, observation)))
            }
            Backend::Hosted(remote) => Conversation::Hosted(remote.session_of_clip(clip, request, cancel)?),
        })
    }
}

/// A conversation about one clip, wherever the model runs.
pub enum Conversation {
    /// In this process.
    Embedded(Box<Session>),
    /// In a server.
    Hosted(RemoteSession),
}

impl Conversation {
    /// Asks about the clip, after the questions and answers before.
    ///
    /// # Errors
    /// As [`Session::ask`] and [`RemoteSession::ask`].
    pub fn ask(
        &mut self,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        match self {
            Conversation::Embedded(session) => session.ask(question, cancel, on_event),
            Conversation::Hosted(session) => session.ask(question, cancel, on_event),
        }
    }

    /// Forgets the questions and answers and keeps the clip.
    ///
    /// # Errors
    /// Of a server: as [`RemoteSession::reset`].
    pub fn reset(&mut self) -> Result<()> {
        match self {
            Conversation::Embedded(session) => {
                session.reset();
                Ok(())
            }
            Conversation::Hosted(session) => session.reset(&CancelToken::new()),
        }
    }
}

/// Whether `source` is the address of a server.
fn is_address(source: &str) -> bool {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}
