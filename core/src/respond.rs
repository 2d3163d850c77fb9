//! The language model's part: from features and words to scored labels and text.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use safetensors::SafeTensors;

use crate::analysis::{milliseconds, Usage};
use crate::answer;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::gguf::Gguf;
use crate::llama::{generate, KvCache, Llama, LoraWeights, Sampler, StopReason, Tokenizer};
use crate::pack::Pack;
use crate::projector::Projector;
use crate::prompt::{segments, task_prompt, PromptParts, Segment};
use crate::request::Question;

/// The language model of a pack with its projectors. Immutable; shared by reference.
pub struct Responder {
    llama: Llama,
    tokenizer: Tokenizer,
    projector: Projector,
    stop_ids: Vec<u32>,
    pack: Pack,
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
    /// Milliseconds for scores and text.
    pub generate_ms: f64,
}

impl Responder {
    /// Loads the language model, its LoRA and the projectors of `pack`.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and what is wrong with it.
    pub fn open(pack: &Pack) -> Result<Self> {
        let manifest = pack.manifest();
        let gguf = Gguf::open(&pack.path(&manifest.llm.weights))?;
        let mut llama = Llama::load(&gguf)?;
        let tokenizer = Tokenizer::from_gguf(&gguf)?;
        let adapter = pack.path(&manifest.llm.adapter);
        let scale = manifest.llm.lora_alpha / manifest.llm.lora_rank.max(1) as f32;
        let lora = load_lora(&adapter, &llama, scale).map_err(|error| error.context(adapter.display()))?;
        llama.set_lora(Some(lora))?;
        let projector = Projector::open(&adapter, &manifest.features, llama.config().hidden)?;
        let end = tokenizer.token_id(&manifest.prompt.answer_end).ok_or_else(|| {
            Error::pack(format!(
                "the prompt ends answers with {:?}, which is not a token of {}",
                manifest.prompt.answer_end, manifest.llm.weights
            ))
        })?;
        let mut stop_ids = tokenizer.stop_ids().to_vec();
        stop_ids.push(end);
        Ok(Self { llama, tokenizer, projector, stop_ids, pack: pack.clone() })
    }

    /// Answers `question` about what was observed.
    ///
    /// The label is decoded among the allowed words by their likelihood; where the task wants more than the label, the
    /// model goes on from there. `on_text` gets each piece of the answer as it comes.
    ///
    /// # Errors
    /// `invalid_argument` for options that cannot be used or a prompt beyond the model's context; `cancelled`.
    pub fn respond(
        &self,
        features: &Features,
        transcript: Option<&str>,
        question: &Question,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Response> {
        question.validate()?;
        let began = Instant::now();
        let spec = &self.pack.manifest().prompt;
        let (task, text) = question.resolve();
        let parts = PromptParts { task, question: text, transcript, labels: question.labels.as_deref() };
        let task = task_prompt(spec, task);
        let mut rows = Vec::new();
        for segment in segments(spec, parts) {
            match segment {
                Segment::Text(text) => rows.extend(self.llama.embed(&self.tokenizer.encode(&text, true)?)?),
                Segment::Soft(name) => rows.extend(self.projector.soft_tokens(&name, features)?.ok_or_else(|| {
                    Error::pack(format!("the prompt's template names {name:?}, which is not a feature of the pack"))
                })?),
            }
        }
        let mut usage = Usage::default();
        let lead_ids = self.tokenizer.encode(&task.lead_in, false)?;
        rows.extend(self.llama.embed(&lead_ids)?);
        let mut cache = KvCache::new(self.llama.config());
        let logits = self.llama.prefill(&rows, &mut cache, cancel)?;
        usage.prompt_tokens = cache.len() - lead_ids.len();
        let prefill_ms = milliseconds(began);

        let began = Instant::now();
        let labels = question.labels.as_deref().unwrap_or(&self.pack.manifest().labels);
        let label_ids = labels
            .iter()
            .map(|label| self.tokenizer.encode(&format!("{}{label}", spec.label_prefix), false))
            .collect::<Result<Vec<_>>>()?;
        let scores = self.llama.score(&cache, &logits, &label_ids, cancel)?;
        let probabilities = answer::probabilities(labels, &scores);
        let (emotion, _) = answer::most_likely(&probabilities)
            .map(|(label, p)| (label.to_owned(), p))
            .ok_or_else(|| Error::internal("no label was scored"))?;
        let chosen = labels.iter().position(|label| *label == emotion).unwrap_or(0);

        let stated = if task.lead_in.is_empty() {
            emotion.clone()
        } else {
            format!("{}{}{emotion}", task.lead_in, spec.label_prefix)
        };
        on_text(&stated);
        let mut text = stated.clone();
        let mut cut = false;
        usage.completion_tokens = lead_ids.len() + label_ids[chosen].len();
        if !task.label_only {
            let rest = self.go_on(&label_ids[chosen], &mut cache, question, cancel, on_text)?;
            usage.completion_tokens += rest.tokens;
            text.push_str(&rest.text);
            cut = rest.cut;
        }
        Ok(Response {
            explanation: answer::explanation(&text, &stated),
            text: text.trim().to_owned(),
            probabilities,
            emotion,
            cut,
            usage,
            prefill_ms,
            generate_ms: milliseconds(began),
        })
    }

    /// Generates what follows the label.
    fn go_on(
        &self,
        label_ids: &[u32],
        cache: &mut KvCache,
        question: &Question,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Continuation> {
        let logits = self.llama.prefill(&self.llama.embed(label_ids)?, cache, cancel)?;
        let mut sampler = Sampler::new(question.sampling.clone())?;
        let mut stream = self.tokenizer.stream();
        let mut text = String::new();
        let generation = generate(&self.llama, cache, &logits, &mut sampler, &self.stop_ids, cancel, &mut |id| {
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
        Ok(Continuation { tokens: generation.ids.len(), text, cut })
    }
}

struct Continuation {
    tokens: usize,
    text: String,
    cut: bool,
}

fn load_lora(path: &Path, llama: &Llama, scale: f32) -> Result<LoraWeights> {
    let bytes = std::fs::read(path).map_err(|error| Error::pack(error.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| Error::pack(format!("not safetensors: {error}")))?;
    LoraWeights::from_safetensors(&tensors, llama.config(), scale)
}
