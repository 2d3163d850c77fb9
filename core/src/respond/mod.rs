//! The language model's part: from features and words to scored labels and text.

mod cues;
mod memory;
mod published;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use safetensors::SafeTensors;

use self::cues::CueResponder;
pub(crate) use self::memory::Memory;
use self::published::PublishedResponder;
use crate::analysis::Usage;
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::Place;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::features::{ClipFeatures, Features};
use crate::gguf::Gguf;
use crate::llama::{KvCache, Llama, LlamaConfig, LoraWeights, Prefixes, Sampler, Scheduler, StopReason, Tokenizer};
use crate::pack::{LlmSpec, Loading, ModelSpec};
use crate::prompt::Segment;
use crate::request::Question;

/// The language model of a pack with its projectors. Immutable; shared by reference.
pub struct Responder(Kind);

enum Kind {
    Cues(Box<CueResponder>),
    Published(Box<PublishedResponder>),
}

/// What the language model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The whole answer.
    pub text: String,
    /// The answer without the words that only state the label.
    pub explanation: String,
    /// Label words with their probabilities, in the order of the labels.
    pub probabilities: IndexMap<String, f32>,
    /// The most likely label.
    pub emotion: String,
    /// Whether the text ended before the model was done, by `max_new_tokens` or the context's end.
    pub cut: bool,
    /// Tokens read and written.
    pub usage: Usage,
    /// Milliseconds until the prompt was read.
    pub prefill_ms: f64,
    /// Milliseconds until the label and its probability were known.
    pub label_ms: f64,
    /// Milliseconds for scores and text.
    pub generate_ms: f64,
}

impl Responder {
    /// Loads the language model, its LoRA and the projectors of the pack that is being loaded.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and what is wrong with it; `cancelled`; on a device `out_of_memory` and `unreachable`.
    pub fn open(loading: &Loading<'_>) -> Result<Self> {
        Ok(Self(match &loading.pack().manifest().model {
            ModelSpec::Cues(spec) => Kind::Cues(Box::new(CueResponder::open(loading, spec)?)),
            ModelSpec::EmotionLlama(spec) => Kind::Published(Box::new(PublishedResponder::open(loading, spec)?)),
        }))
    }

    /// Values in the feature of `encoder` (`mae`, `videomae` or `hubert`), as the projector takes it.
    ///
    /// # Errors
    /// `invalid_argument` if the pack takes no such feature.
    pub fn feature_width(&self, encoder: &str) -> Result<usize> {
        let widths =
            match &self.0 {
                Kind::Cues(_) => return Err(Error::invalid_argument(
                    "this pack takes no features that were extracted beforehand; use a converted Emotion-LLaMA pack",
                )),
                Kind::Published(model) => model.feature_widths(),
            };
        let found = widths.iter().find(|(name, _)| *name == encoder);
        found.map(|&(_, width)| width).ok_or_else(|| {
            Error::invalid_argument(format!("there is no feature {encoder:?}; the pack takes mae, videomae and hubert"))
        })
    }

    /// Checks whether this pack can answer `question` and take the features that are `given`, before any work is done.
    ///
    /// # Errors
    /// `invalid_argument` naming the option or encoder and what to give instead.
    pub fn check(&self, question: &Question, given: &ClipFeatures) -> Result<()> {
        question.validate()?;
        match &self.0 {
            Kind::Cues(_) => CueResponder::check(question)?,
            Kind::Published(model) => model.check(question)?,
        }
        for (encoder, feature) in [("mae", &given.mae), ("videomae", &given.videomae), ("hubert", &given.hubert)] {
            let Some(values) = feature else { continue };
            let width = self.feature_width(encoder)?;
            if values.len() != width {
                return Err(Error::invalid_argument(format!(
                    "the {encoder} feature has {} values, the pack takes {width}; was it made by another encoder?",
                    values.len()
                )));
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::invalid_argument(format!(
                    "value {at} of the {encoder} feature is no finite number"
                )));
            }
        }
        Ok(())
    }

    /// Answers `question` about what was observed.
    ///
    /// Labels are scored by their likelihood as the answer. The built-in model's text goes on from the likeliest one; the published
    /// model writes its text by itself, as it was trained to. `on_event` gets the label as soon as it is known, and each piece of the answer as
    /// it comes.
    ///
    /// # Errors
    /// `invalid_argument` for options that cannot be used or a prompt beyond the model's context; `cancelled`.
    pub fn respond(
        &self,
        features: &Features,
        transcript: Option<&str>,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Response> {
        self.respond_with(&mut self.once(), features, transcript, question, cancel, on_event)
    }

    /// As [`Responder::respond`], after what `memory` holds of a conversation about these features, which goes on when this succeeds.
    pub(crate) fn respond_with(
        &self,
        memory: &mut Memory,
        features: &Features,
        transcript: Option<&str>,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Response> {
        self.check(question, &ClipFeatures::default())?;
        match &self.0 {
            Kind::Cues(model) => model.respond(memory, features, transcript, question, cancel, on_event),
            Kind::Published(model) => model.respond(memory, features, transcript, question, cancel, on_event),
        }
    }

    /// A memory for one question.
    pub(crate) fn once(&self) -> Memory {
        Memory::once(self.config())
    }

    /// A memory for a conversation.
    pub(crate) fn memory(&self) -> Memory {
        Memory::lasting(self.config())
    }

    /// Where the language model computes, unless that is the CPU, which it is also once the device is lost.
    #[cfg(any(feature = "cuda", test))]
    pub fn place(&self) -> Option<&Place> {
        match &self.0 {
            Kind::Cues(model) => model.llama(),
            Kind::Published(model) => model.llama(),
        }
        .place()
    }

    fn config(&self) -> &LlamaConfig {
        match &self.0 {
            Kind::Cues(model) => model.config(),
            Kind::Published(model) => model.config(),
        }
    }
}

/// A language model with its tokenizer.
struct LanguageModel {
    llama: Arc<Llama>,
    tokenizer: Tokenizer,
    prefixes: Prefixes,
    stop_ids: Arc<[u32]>,
    /// Writes the texts of all calls.
    scheduler: Scheduler,
}

/// Text that was generated.
struct Written {
    tokens: usize,
    text: String,
    cut: bool,
    /// The last of the tokens, where the cache does not hold it.
    unread: Vec<u32>,
}

impl LanguageModel {
    /// Loads weights, LoRA and tokenizer. `answer_end` is a special token that ends answers, beside the tokenizer's own. Prompts start with one of
    /// `beginnings`.
    fn open<'a>(
        loading: &Loading<'_>,
        spec: &LlmSpec,
        answer_end: Option<&str>,
        beginnings: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let (mut llama, tokenizer) = loading.part(&spec.weights, |path| {
            let gguf = Gguf::open(path)?;
            let (llama, tokenizer) = rayon::join(|| Llama::load(&gguf), || Tokenizer::from_gguf(&gguf));
            Ok((llama?, tokenizer?))
        })?;
        if !spec.lora_merged {
            let lora = loading.part(&spec.adapter, |adapter| {
                load_lora(adapter, &llama, spec.lora_scale()).map_err(|error| error.context(adapter.display()))
            })?;
            llama.set_lora(Some(lora))?;
        }
        #[cfg(any(feature = "cuda", test))]
        if let Some(place) = loading.place() {
            llama.move_to_device(place)?;
        }
        let mut stop_ids = tokenizer.stop_ids().to_vec();
        if let Some(end) = answer_end {
            stop_ids.push(tokenizer.token_id(end).ok_or_else(|| {
                Error::pack(format!("the prompt ends answers with {end:?}, which is not a token of {}", spec.weights))
            })?);
        }
        let llama = Arc::new(llama);
        let scheduler = Scheduler::new(Arc::clone(&llama), rayon::current_num_threads());
        let prefixes = Prefixes::new(&llama, &tokenizer, beginnings)?;
        Ok(Self { llama, tokenizer, prefixes, stop_ids: stop_ids.into(), scheduler })
    }

    /// Reads `rows` `[n, hidden]` after what `cache` holds, without what all prompts begin with. Gives the logits of the last one.
    fn read(&self, rows: &[f32], cache: &mut KvCache, cancel: &CancelToken) -> Result<Vec<f32>> {
        self.prefixes.prefill(&self.llama, rows, cache, cancel)
    }

    /// The prompt's rows `[n, hidden]`: embedded text, and the soft tokens that `soft` gives for their names.
    fn rows(&self, segments: Vec<Segment>, soft: &mut dyn FnMut(&str) -> Result<Option<Vec<f32>>>) -> Result<Vec<f32>> {
        let mut rows = Vec::new();
        for segment in segments {
            match segment {
                Segment::Text(text) => rows.extend(self.llama.embed(&self.tokenizer.encode(&text, true)?)?),
                Segment::Soft(name) => rows.extend(soft(&name)?.ok_or_else(|| {
                    Error::pack(format!("the prompt's template names {name:?}, which is not a feature of the pack"))
                })?),
            }
        }
        Ok(rows)
    }

    /// The ids of each label as the answer's first words.
    fn label_ids(&self, prefix: &str, labels: &[String]) -> Result<Vec<Vec<u32>>> {
        labels.iter().map(|label| self.tokenizer.encode(&format!("{prefix}{label}"), false)).collect()
    }

    /// Generates text after what `cache` holds, whose last row gave `logits`.
    fn write(
        &self,
        cache: &mut KvCache,
        logits: &[f32],
        sampler: Sampler,
        cancel: &CancelToken,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Written> {
        let before = cache.len();
        let mut stream = self.tokenizer.stream();
        let mut text = String::new();
        let generation = self.scheduler.generate(cache, logits, sampler, &self.stop_ids, cancel, &mut |id| {
            let piece = stream.push(id);
            if !piece.is_empty() {
                on_text(&piece);
                text.push_str(&piece);
            }
            ControlFlow::Continue(())
        })?;
        let tail = stream.finish();
        if !tail.is_empty() {
            on_text(&tail);
            text.push_str(&tail);
        }
        let cut = matches!(generation.stop_reason, StopReason::MaxTokens | StopReason::ContextFull);
        let unread = generation.ids.get(cache.len() - before..).unwrap_or_default().to_vec();
        Ok(Written { tokens: generation.ids.len(), text, cut, unread })
    }
}

fn load_lora(path: &Path, llama: &Llama, scale: f32) -> Result<LoraWeights> {
    let bytes = std::fs::read(path).map_err(|error| Error::pack(error.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| Error::pack(format!("not safetensors: {error}")))?;
    LoraWeights::from_safetensors(&tensors, llama.config(), scale)
}
