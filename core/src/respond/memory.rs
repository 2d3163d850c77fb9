//! What a conversation keeps between its questions.

use super::LanguageModel;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::llama::{KvCache, LlamaConfig};
use crate::prompt::published::PromptPath;
use crate::prompt::{split_clip, Segment};

/// The language model's keys and values of a clip and of the turns about it.
///
/// The clip's rows (the prompt up to its last soft token) are read in a pass of their own. So the rows of a question go into the same
/// passes whenever it is asked at the same place of the conversation, and its answer is the same.
pub(crate) struct Memory {
    /// Whether further questions come. Otherwise the prompt is read in one pass, but for what all prompts begin with.
    lasting: bool,
    /// Begins with `held` positions that count; what a call that failed has left after them does not.
    cache: KvCache,
    /// Positions of the clip; 0 before they are read.
    clip: usize,
    /// Positions of the clip and of the turns that were answered.
    held: usize,
    /// The last answer's tokens that are not in `cache`: generation never runs the last one.
    unread: Vec<u32>,
    /// The published prompt that the conversation began with.
    path: PromptPath,
}

impl Memory {
    /// For one question.
    pub(super) fn once(config: &LlamaConfig) -> Self {
        Self {
            lasting: false,
            cache: KvCache::new(config),
            clip: 0,
            held: 0,
            unread: Vec::new(),
            path: PromptPath::default(),
        }
    }

    /// For a conversation.
    pub(super) fn lasting(config: &LlamaConfig) -> Self {
        Self { lasting: true, ..Self::once(config) }
    }

    /// Positions of the clip and of the turns that were answered.
    pub(crate) fn positions(&self) -> usize {
        self.held
    }

    /// Forgets the turns and keeps the clip, unless that is on a device that was lost.
    pub(crate) fn forget_turns(&mut self) {
        if self.cache.is_lost() {
            self.clip = 0;
        }
        self.held = self.clip;
        self.unread.clear();
        self.cache.truncate(self.held);
    }

    /// Makes ready for a question on `path`, and gives the path it takes and the positions that need not be read again.
    ///
    /// # Errors
    /// `invalid_argument` if the conversation is on another path.
    pub(super) fn begin(&mut self, path: Option<PromptPath>) -> Result<(PromptPath, usize)> {
        let wanted = path.unwrap_or(if self.has_turns() { self.path } else { PromptPath::default() });
        if wanted != self.path {
            if self.has_turns() {
                return Err(Error::invalid_argument(
                    "a conversation stays on the prompt_path of its first question; leave it out, or reset the session",
                ));
            }
            (self.path, self.clip, self.held) = (wanted, 0, 0);
        }
        self.cache.truncate(self.held);
        Ok((wanted, self.held))
    }

    /// Whether further questions come.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasting
    }

    fn has_turns(&self) -> bool {
        self.held > self.clip
    }

    /// Whether the soft tokens need not be computed.
    pub(super) fn holds_clip(&self) -> bool {
        self.clip > 0
    }

    /// Where an answer is written to. Only [`Memory::commit`] makes it last.
    pub(super) fn cache(&mut self) -> &mut KvCache {
        &mut self.cache
    }

    /// The rows `[n, hidden]` that ask a question at this place of the conversation: `next` after a turn, or else `first`, a whole
    /// prompt. A lasting memory reads the clip's part of it here, unless it holds it.
    pub(super) fn question(
        &mut self,
        language: &LanguageModel,
        first: Vec<Segment>,
        next: Segment,
        soft: &mut dyn FnMut(&str) -> Result<Option<Vec<f32>>>,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        if !self.lasting {
            return language.rows(first, soft);
        }
        if self.has_turns() {
            let mut rows = language.llama.embed(&self.unread)?;
            rows.extend(language.rows(vec![next], soft)?);
            return Ok(rows);
        }
        let (clip, rest) = split_clip(first);
        if !self.holds_clip() && !clip.is_empty() {
            language.read(&language.rows(clip, soft)?, &mut self.cache, cancel)?;
            (self.clip, self.held) = (self.cache.len(), self.cache.len());
        }
        language.rows(rest, soft)
    }

    /// Refuses a question of `asked` rows if a conversation has no room for it and its answer in `positions`.
    pub(super) fn check_room(&self, asked: usize, max_new_tokens: usize, positions: usize) -> Result<()> {
        if self.lasting && self.held.saturating_add(asked).saturating_add(max_new_tokens) > positions {
            return Err(Error::invalid_argument(format!(
                "the context of {positions} positions is too full: the session holds {}, the question takes {asked} and the answer \
                 up to {max_new_tokens}; reset the session, or give a smaller max_new_tokens",
                self.held
            )));
        }
        Ok(())
    }

    /// Makes the answer that was written to the cache part of the conversation. `unread` are its tokens that are not in the cache.
    pub(super) fn commit(&mut self, unread: Vec<u32>) {
        self.held = self.cache.len();
        self.unread = unread;
    }
}
