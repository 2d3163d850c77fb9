//! The engine: the stages, strung together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::analysis::{milliseconds, Analysis, AnalysisNote, ModelInfo, Timings};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::Place;
#[cfg(feature = "cuda")]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::event::Event;
use crate::face::FramePick;
use crate::features::ClipFeatures;
use crate::media::{self, Clip, Reel, Sampling};
use crate::pack::{find, LoadProgress, Loading, Pack, PackRef};
use crate::perceive::{Observation, Perception};
use crate::placement::{GpuInfo, Placement};
use crate::request::{check_text, ClipRequest, Question, Request, Transcript};
use crate::respond::{Memory, Responder};
use crate::workers::Workers;

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where packs are looked for by name, first come first served.
    pub search: Vec<PathBuf>,
    /// Whether every file's SHA-256 is compared with the manifest while the pack loads. Default true.
    pub verify: bool,
    /// Threads that each call computes with; 0, the default, for one per processor.
    pub threads: usize,
    /// Where the models compute. Default: on a graphics processor if there is one that can be used.
    pub device: Placement,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { search: Vec::new(), verify: true, threads: 0, device: Placement::default() }
    }
}

/// A loaded model. Clones share the weights; every method may be called from many threads at once.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    pack: Pack,
    perception: Perception,
    responder: Responder,
    workers: Workers,
    gpu: Option<GpuInfo>,
    /// Where the models compute on it.
    #[cfg(any(feature = "cuda", test))]
    place: Option<Place>,
}

impl Engine {
    /// Opens the pack that `wanted` names and loads its models.
    ///
    /// # Errors
    /// `not_found` if there is no such pack, or not the device that was asked for; `pack_invalid` naming the file that is missing, damaged or of
    /// another version; on a device `out_of_memory` and `unreachable`.
    pub fn open(wanted: &PackRef, options: &EngineOptions) -> Result<Self> {
        Self::open_observed(wanted, options, &CancelToken::new(), &|_| {})
    }

    /// As [`Engine::open`]; can be stopped, and `report` is told how far it is, from several threads.
    ///
    /// # Errors
    /// As [`Engine::open`]; `cancelled`.
    pub fn open_observed(
        wanted: &PackRef,
        options: &EngineOptions,
        cancel: &CancelToken,
        report: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<Self> {
        cancel.check()?;
        let pack = find(wanted, &options.search)?;
        let gpu = options.device.resolve()?;
        let loading = || Loading::new(&pack, options.verify, cancel, report);
        #[cfg(feature = "cuda")]
        let gpu = match gpu {
            Some(gpu) => {
                let place = crate::cuda::devices::place(&gpu);
                match place.and_then(|place| Self::load(loading().on(Some(place)), Some(gpu.clone()), options)) {
                    // Whoever leaves the choice to us gets an answer, from the processor.
                    Err(error)
                        if options.device == Placement::Auto
                            && matches!(error.kind, ErrorKind::OutOfMemory | ErrorKind::Unreachable) =>
                    {
                        tracing::warn!(%error, device = gpu.name, "the model is opened on the processor");
                        None
                    }
                    opened => return opened,
                }
            }
            None => None,
        };
        Self::load(loading(), gpu, options)
    }

    /// Loads a pack's models, for `gpu` or for the processor.
    pub(crate) fn load(loading: Loading<'_>, gpu: Option<GpuInfo>, options: &EngineOptions) -> Result<Self> {
        let workers = Workers::new(options.threads)?;
        let (perception, responder) = workers.run(|| {
            let (verified, (perception, responder)) = rayon::join(
                || if options.verify { loading.verify() } else { Ok(()) },
                || rayon::join(|| Perception::open(&loading), || Responder::open(&loading)),
            );
            verified?;
            Ok((perception?, responder?))
        })?;
        loading.finish()?;
        let pack = loading.pack().clone();
        tracing::debug!(pack = pack.manifest().name, digest = pack.digest(), "opened");
        Ok(Self(Arc::new(Inner {
            pack,
            perception,
            responder,
            workers,
            gpu,
            #[cfg(any(feature = "cuda", test))]
            place: loading.place().cloned(),
        })))
    }

    /// Threads that each call computes with.
    pub fn threads(&self) -> usize {
        self.0.workers.threads()
    }

    /// The graphics processor that the models compute on; None for the processor, which it is also once the other is lost.
    pub fn gpu(&self) -> Option<&GpuInfo> {
        #[cfg(any(feature = "cuda", test))]
        if self.0.place.as_ref().is_some_and(Place::is_lost) {
            return None;
        }
        self.0.gpu.as_ref()
    }

    /// What it computes with: `cpu`, after the graphics processor if there is one, for example `cuda:0`.
    pub fn devices(&self) -> Vec<String> {
        let gpu = self.gpu().map(|gpu| format!("cuda:{}", gpu.index));
        gpu.into_iter().chain(["cpu".to_owned()]).collect()
    }

    /// The pack that was opened.
    pub fn pack(&self) -> &Pack {
        &self.0.pack
    }

    /// Values in the feature of `encoder`: `mae`, `videomae` or `hubert`, as [`Request::features`] takes it.
    ///
    /// # Errors
    /// `invalid_argument` if the pack takes no such feature.
    pub fn feature_width(&self, encoder: &str) -> Result<usize> {
        self.0.responder.feature_width(encoder)
    }

    /// Analyses one clip. `on_event` is called on this thread or on one of the engine's, one call at a time.
    ///
    /// # Errors
    /// What [`media::decode`] and [`Responder::respond`] say. A missing face, voice or stream is a note in the result.
    pub fn analyze(
        &self,
        request: &Request,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let began = Instant::now();
        let (observation, decode_ms) = self.observe(request, cancel, on_event)?;
        let observed_ms = milliseconds(began);
        let mut analysis = self.answer(&observation, &request.question, cancel, on_event)?;
        analysis.time_to_label_ms += observed_ms;
        analysis.timings_ms.decode = decode_ms;
        analysis.timings_ms.total = milliseconds(began);
        Ok(analysis)
    }

    /// The first half of [`Engine::analyze`]: decodes the clip and, beside that, reads face, voice and words. Also gives the milliseconds
    /// until everything was decoded.
    ///
    /// # Errors
    /// As [`Engine::analyze`].
    pub fn observe(
        &self,
        request: &Request,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<(Observation, f64)> {
        self.check(&request.question, &request.transcript, &request.features)?;
        on_event(Event::Stage("decode"));
        let began = Instant::now();
        let sampling = self.sampling(request.frame);
        let reel = Reel::open(&request.source, &sampling, &request.limits, cancel)?;
        on_event(Event::Stage("observe"));
        let Request { frame, transcript, features, .. } = request;
        let (observation, decoded) =
            self.0.workers.run(|| self.0.perception.observe_decoding(&reel, *frame, transcript, features, cancel))?;
        Ok((observation, decoded.duration_since(began).as_secs_f64() * 1e3))
    }

    /// Which frames of a clip this pack looks at when `frame` is to be described: the sampling for [`media::decode`] or
    /// [`crate::live::LiveBuffer::clip`].
    pub fn sampling(&self, frame: FramePick) -> Sampling {
        self.0.perception.sampling(Sampling { pick: media_pick(frame), ..Sampling::default() })
    }

    /// [`Engine::analyze`] of a clip that is there already.
    ///
    /// # Errors
    /// As [`Engine::observe_clip`] and [`Engine::answer`].
    pub fn analyze_clip(
        &self,
        clip: &Clip,
        request: &ClipRequest,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let began = Instant::now();
        let observation = self.observe_clip(clip, request, cancel, on_event)?;
        let observed_ms = milliseconds(began);
        let mut analysis = self.answer(&observation, &request.question, cancel, on_event)?;
        analysis.time_to_label_ms += observed_ms;
        analysis.timings_ms.total = milliseconds(began);
        Ok(analysis)
    }

    /// [`Engine::observe`] of a clip that is there already, whose frames were chosen by [`Engine::sampling`].
    ///
    /// # Errors
    /// `invalid_argument` for a question, words, features or a frame that cannot be used; `cancelled`.
    pub fn observe_clip(
        &self,
        clip: &Clip,
        request: &ClipRequest,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Observation> {
        self.check(&request.question, &request.transcript, &request.features)?;
        media::check_sampling(&self.sampling(request.frame))?;
        cancel.check()?;
        on_event(Event::Stage("observe"));
        self.0
            .workers
            .run(|| self.0.perception.observe(clip, request.frame, &request.transcript, &request.features, cancel))
    }

    /// Refuses what cannot be answered, before any work is done.
    fn check(&self, question: &Question, transcript: &Transcript, features: &ClipFeatures) -> Result<()> {
        self.0.responder.check(question, features)?;
        match transcript {
            Transcript::Text(text) => check_text("transcript", Some(text)),
            Transcript::Auto | Transcript::None => Ok(()),
        }
    }

    /// The second half of [`Engine::analyze`]: asks the language model about what was observed.
    ///
    /// # Errors
    /// As [`Engine::analyze`].
    pub fn answer(
        &self,
        observation: &Observation,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        self.answer_with(&mut self.0.responder.once(), observation, question, cancel, on_event)
    }

    /// What a conversation keeps between its questions, empty.
    pub(crate) fn memory(&self) -> Memory {
        self.0.responder.memory()
    }

    /// [`Engine::answer`] in the conversation that `memory` holds.
    pub(crate) fn answer_with(
        &self,
        memory: &mut Memory,
        observation: &Observation,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        on_event(Event::Stage("respond"));
        let began = Instant::now();
        let response = self.0.workers.run(|| {
            self.0.responder.respond_with(
                memory,
                &observation.features,
                observation.transcript.as_deref(),
                question,
                cancel,
                on_event,
            )
        })?;
        tracing::debug!(?response.usage, "answered");
        let mut notes = observation.notes.clone();
        if response.cut {
            notes.push(AnalysisNote::new("answer_cut", "the answer ended at max_new_tokens; raise it for the rest"));
        }
        let manifest = self.0.pack.manifest();
        let confidence = response.probabilities.get(&response.emotion).copied();
        Ok(Analysis {
            response: response.text,
            emotion: response.emotion,
            confidence,
            probabilities: response.probabilities,
            explanation: response.explanation,
            transcript: observation.transcript.clone(),
            language: observation.language.clone(),
            faces: observation.faces.clone(),
            frame: observation.frame.clone(),
            cues: observation.cues.clone(),
            usage: response.usage,
            timings_ms: Timings {
                decode: 0.0,
                preprocess: observation.face_ms,
                encode: observation.voice_ms,
                prefill: response.prefill_ms,
                generate: response.generate_ms,
                total: milliseconds(began),
            },
            time_to_label_ms: response.label_ms,
            model: ModelInfo {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                digest: self.0.pack.digest().to_owned(),
            },
            notes,
        })
    }
}

pub(crate) fn media_pick(pick: FramePick) -> Option<media::FramePick> {
    match pick {
        FramePick::Peak => None,
        FramePick::First => Some(media::FramePick::First),
        FramePick::Middle => Some(media::FramePick::Middle),
        FramePick::At(seconds) => Some(media::FramePick::At(seconds)),
    }
}
