//! A conversation about one clip: each question reads only what is new.

use crate::analysis::Analysis;
use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::error::Result;
use crate::event::Event;
use crate::perceive::Observation;
use crate::request::Question;
use crate::respond::Memory;

/// A conversation about one observed clip. Shares the engine's weights.
///
/// Keeps the language model's keys and values of the clip and of every turn: 46 KB a position with the built-in model, 1 MB with a
/// converted 7B model, whose clip alone takes about 270 positions.
pub struct Session {
    engine: Engine,
    observation: Observation,
    memory: Memory,
}

impl Session {
    /// A conversation about what [`Engine::observe`] or [`Engine::observe_clip`] gave.
    pub fn new(engine: &Engine, observation: Observation) -> Self {
        Self { engine: engine.clone(), memory: engine.memory(), observation }
    }

    /// Asks about the clip, after the questions and answers before: a follow-up such as "Why do you think so?" is understood. Tasks,
    /// tags and labels are those of [`Engine::answer`]; the labels are scored as the answer (of a converted pack: as the answer to
    /// `[emotion]`) at this place of the conversation.
    ///
    /// The first question is read as [`Engine::answer`] reads it, but in other passes, so that its probabilities may differ in the last
    /// digits of float32. [`usage.cached_tokens`](crate::analysis::Usage::cached_tokens) says how many positions were not read again.
    /// The timings are those of this call alone: `decode`, `preprocess` and `encode` are 0.
    ///
    /// A call that fails or is cancelled leaves the conversation as it was.
    ///
    /// # Errors
    /// As [`Engine::answer`]. `invalid_argument` too if the conversation, the question and `max_new_tokens` together do not fit the
    /// model's context (nothing is dropped: [`Session::reset`] it, or ask for fewer tokens), or if a converted pack is asked on another
    /// `prompt_path` than that of the first question.
    pub fn ask(
        &mut self,
        question: &Question,
        cancel: &CancelToken,
        on_event: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Analysis> {
        let mut analysis = self.engine.answer_with(&mut self.memory, &self.observation, question, cancel, on_event)?;
        (analysis.timings_ms.preprocess, analysis.timings_ms.encode) = (0.0, 0.0);
        Ok(analysis)
    }

    /// Forgets the questions and answers, and keeps what was read of the clip. What a graphics processor held that was lost is read again.
    pub fn reset(&mut self) {
        self.memory.forget_turns();
    }

    /// What the conversation is about.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// Positions that are held: those of the clip, which the first question reads, and of the turns.
    pub fn positions(&self) -> usize {
        self.memory.positions()
    }
}
