//! The published model's answer: its text as it writes it, and the labels' likelihoods as the answer to `[emotion]`.

use std::time::Instant;

use super::{LanguageModel, Memory, Response};
use crate::analysis::{milliseconds, Usage};
use crate::answer;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::features::{ClipFeatures, EncodedClip, Features};
use crate::llama::{LlamaConfig, Sampler};
use crate::pack::{Loading, PublishedSpec};
use crate::projector::PublishedProjector;
use crate::prompt::published::{next_turn, segments, PromptPath, BEGINNINGS, FEATURES, MAX_POSITIONS, PICTURE};
use crate::prompt::{PromptParts, Task};
use crate::request::Question;

/// A converted language model with its projectors. Immutable; shared by reference.
pub(super) struct PublishedResponder {
    language: LanguageModel,
    projector: PublishedProjector,
    labels: Vec<String>,
    reasons: bool,
}

impl PublishedResponder {
    /// Loads the language model, its LoRA and the projectors of the pack that is being loaded, which `spec` describes.
    pub(super) fn open(loading: &Loading<'_>, spec: &PublishedSpec) -> Result<Self> {
        let language = LanguageModel::open(loading, &spec.llm, None, BEGINNINGS)?;
        let projector =
            PublishedProjector::open(&loading.pack().path(&spec.llm.adapter), language.llama.config().hidden)?;
        Ok(Self { language, projector, labels: loading.pack().manifest().labels.clone(), reasons: spec.reasons })
    }

    /// See [`super::Responder::feature_width`].
    pub(super) fn feature_widths(&self) -> [(&'static str, usize); 3] {
        self.projector.widths()
    }

    /// See [`super::Responder::check`].
    pub(super) fn check(&self, question: &Question) -> Result<()> {
        if question.resolve().0 == Task::Reason && !self.reasons {
            return Err(Error::invalid_argument(
                "this pack's checkpoint classifies only: it was trained without reasons; ask for the emotion, or convert the \
                 checkpoint that was trained with reasons",
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
        let (task, text) = question.resolve();
        let Some(encoded) = &features.encoded else {
            return Err(Error::internal("the clip was not encoded for the published model"));
        };
        let began = Instant::now();
        let llama = &self.language.llama;
        let labels = question.labels.as_deref().unwrap_or(&self.labels);
        let asked = PromptParts { task, question: text, transcript, labels: question.labels.as_deref() };
        let (path, cached_tokens) = memory.begin(question.prompt_path)?;
        let soft = if memory.holds_clip() { Default::default() } else { self.soft_tokens(encoded, path)? };
        let max_new_tokens = question.sampling.max_new_tokens;
        let asked_rows = self.rows(memory, path, asked, &soft, max_new_tokens, cancel)?;
        let hidden = llama.config().hidden;

        // The labels are the answers to `[emotion]`. Another question's prompt begins as this one does, and is read from where it differs.
        let rows = if task == Task::Emotion {
            None
        } else {
            let emotion = PromptParts { task: Task::Emotion, question: None, ..asked };
            Some(self.rows(memory, path, emotion, &soft, max_new_tokens, cancel)?)
        };
        let rows = rows.as_ref().unwrap_or(&asked_rows);
        let cache = memory.cache();
        let before = cache.len();
        let mut logits = self.language.read(rows, cache, cancel)?;
        let mut prefill_ms = milliseconds(began);
        let ids = self.language.label_ids("", labels)?;
        let label = answer::label(labels, &llama.score(cache, &logits, &ids, cancel)?)?;
        let label_ms = milliseconds(began);
        on_event(Event::Label(&label));

        if task != Task::Emotion {
            let scored = Instant::now();
            let same =
                rows.chunks_exact(hidden).zip(asked_rows.chunks_exact(hidden)).take_while(|(a, b)| a == b).count();
            let same = same.min(asked_rows.len() / hidden - 1);
            cache.truncate(before + same);
            logits = llama.prefill(&asked_rows[same * hidden..], cache, cancel)?;
            prefill_ms += milliseconds(scored);
        }
        let prompt_tokens = cache.len();
        let mut sampler = Sampler::new(question.sampling.clone())?;
        if let Some(bos) = self.language.tokenizer.bos_id() {
            // Upstream's history begins with it, so the penalty covers it.
            sampler.record(bos);
        }
        let written =
            self.language.write(cache, &logits, sampler, cancel, &mut |piece| on_event(Event::Text(piece)))?;
        memory.commit(written.unread);
        let text = written.text.rsplit("[/INST]").next().unwrap_or_default().trim().to_owned();
        Ok(Response {
            explanation: if task == Task::Emotion { answer::explanation(&text, &label.emotion) } else { text.clone() },
            text,
            probabilities: label.probabilities,
            emotion: label.emotion,
            cut: written.cut,
            usage: Usage { prompt_tokens, completion_tokens: written.tokens, cached_tokens },
            prefill_ms,
            label_ms,
            generate_ms: milliseconds(began) - prefill_ms,
        })
    }

    /// The rows of picture and features on `path`.
    fn soft_tokens(&self, encoded: &EncodedClip, path: PromptPath) -> Result<[Vec<f32>; 2]> {
        let clip = if path.zeroes_face() {
            ClipFeatures { mae: None, videomae: None, ..encoded.clip.clone() }
        } else {
            encoded.clip.clone()
        };
        Ok([self.projector.picture(&encoded.picture)?, self.projector.features(&clip, &encoded.picture)?])
    }

    /// The rows `[n, hidden]` to be read for a question. Where a single question's prompt and answer would exceed [`MAX_POSITIONS`],
    /// the oldest rows are cut; a conversation that would exceed them is an error.
    fn rows(
        &self,
        memory: &mut Memory,
        path: PromptPath,
        parts: PromptParts<'_>,
        [picture, features]: &[Vec<f32>; 2],
        max_new_tokens: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let config = self.language.llama.config();
        let positions = MAX_POSITIONS.min(config.context);
        let mut soft = |name: &str| {
            Ok(match name {
                PICTURE => Some(picture.clone()),
                FEATURES => Some(features.clone()),
                _ => None,
            })
        };
        let (first, next) = (segments(path, parts), next_turn(parts));
        let mut rows = memory.question(&self.language, first, next, &mut soft, cancel)?;
        let count = rows.len() / config.hidden;
        memory.check_room(count, max_new_tokens, positions)?;
        if memory.is_lasting() {
            return Ok(rows);
        }
        let beyond = count.saturating_add(max_new_tokens).saturating_sub(positions);
        if beyond >= count {
            return Err(Error::invalid_argument(format!(
                "max_new_tokens is {max_new_tokens}, which leaves no room for the prompt in {positions} positions; ask for fewer"
            )));
        }
        rows.drain(..beyond * config.hidden);
        Ok(rows)
    }
}
