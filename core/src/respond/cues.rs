//! The built-in model's answer: the label is scored first, the text goes on from it.

use std::time::Instant;

use super::{LanguageModel, Memory, Response};
use crate::analysis::{milliseconds, Usage};
use crate::answer;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::features::Features;
use crate::llama::{LlamaConfig, Sampler};
use crate::pack::{CueSpec, Loading};
use crate::projector::CueProjector;
use crate::prompt::template::{fixed_beginning, next_turn, segments, task_prompt};
use crate::prompt::PromptParts;
use crate::request::Question;

/// The built-in language model with its projectors. Immutable; shared by reference.
pub(super) struct CueResponder {
    language: LanguageModel,
    projector: CueProjector,
    spec: CueSpec,
    labels: Vec<String>,
}

impl CueResponder {
    /// Loads the language model, its LoRA and the projectors of the pack that is being loaded, which `spec` describes.
    pub(super) fn open(loading: &Loading<'_>, spec: &CueSpec) -> Result<Self> {
        let language =
            LanguageModel::open(loading, &spec.llm, Some(&spec.prompt.answer_end), fixed_beginning(&spec.prompt))?;
        let projector = CueProjector::open(
            &loading.pack().path(&spec.llm.adapter),
            &spec.features,
            language.llama.config().hidden,
        )?;
        Ok(Self { language, projector, spec: spec.clone(), labels: loading.pack().manifest().labels.clone() })
    }

    /// See [`super::Responder::check`].
    pub(super) fn check(question: &Question) -> Result<()> {
        if question.prompt_path.is_some() {
            return Err(Error::invalid_argument(
                "prompt_path chooses among the published model's prompts; this pack has one prompt of its own: leave it out",
            ));
        }
        Ok(())
    }

    /// The language model.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn llama(&self) -> &crate::llama::Llama {
        &self.language.llama
    }

    /// The language model's extents.
    pub(super) fn config(&self) -> &LlamaConfig {
        self.language.llama.config()
    }

    /// See [`super::Responder::respond_with`].
    pub(super) fn respond(
        &self,
        memory: &mut Memory,
        features: &Features,
        transcript: Option<&str>,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Response> {
        let LanguageModel { llama, tokenizer, .. } = &self.language;
        let began = Instant::now();
        let spec = &self.spec.prompt;
        let (task, text) = question.resolve();
        let parts = PromptParts { task, question: text, transcript, labels: question.labels.as_deref() };
        let task = task_prompt(spec, task);
        let (_, cached_tokens) = memory.begin(None)?;
        let mut rows = memory.question(
            &self.language,
            segments(spec, parts),
            next_turn(spec, parts),
            &mut |name| self.projector.soft_tokens(name, features),
            cancel,
        )?;
        let config = llama.config();
        memory.check_room(rows.len() / config.hidden, question.sampling.max_new_tokens, config.context)?;
        let mut usage = Usage { cached_tokens, ..Usage::default() };
        let lead_ids = tokenizer.encode(&task.lead_in, false)?;
        rows.extend(llama.embed(&lead_ids)?);
        let cache = memory.cache();
        let logits = self.language.read(&rows, cache, cancel)?;
        usage.prompt_tokens = cache.len() - lead_ids.len();
        let prefill_ms = milliseconds(began);

        let prefilled = Instant::now();
        let labels = question.labels.as_deref().unwrap_or(&self.labels);
        let label_ids = self.language.label_ids(&spec.label_prefix, labels)?;
        let scores = llama.score(cache, &logits, &label_ids, cancel)?;
        let label = answer::label(labels, &scores)?;
        let label_ms = milliseconds(began);
        on_event(Event::Label(&label));
        let chosen = labels.iter().position(|name| *name == label.emotion).unwrap_or(0);

        let stated = if task.lead_in.is_empty() {
            label.emotion.clone()
        } else {
            format!("{}{}{}", task.lead_in, spec.label_prefix, label.emotion)
        };
        on_event(Event::Text(&stated));
        let mut text = stated.clone();
        let mut cut = false;
        let mut unread = Vec::new();
        usage.completion_tokens = lead_ids.len() + label_ids[chosen].len();
        if task.label_only {
            unread.clone_from(&label_ids[chosen]);
        } else {
            let logits = llama.prefill(&llama.embed(&label_ids[chosen])?, cache, cancel)?;
            let sampler = Sampler::new(question.sampling.clone())?;
            let rest =
                self.language.write(cache, &logits, sampler, cancel, &mut |piece| on_event(Event::Text(piece)))?;
            usage.completion_tokens += rest.tokens;
            text.push_str(&rest.text);
            cut = rest.cut;
            unread = rest.unread;
        }
        memory.commit(unread);
        Ok(Response {
            explanation: answer::explanation(&text, &stated),
            text: text.trim().to_owned(),
            probabilities: label.probabilities,
            emotion: label.emotion,
            cut,
            usage,
            prefill_ms,
            label_ms,
            generate_ms: milliseconds(prefilled),
        })
    }
}
