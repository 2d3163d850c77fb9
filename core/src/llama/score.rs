//! Log-likelihoods of given continuations: how label words get their probabilities.

use super::cache::KvCache;
use super::model::Llama;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// Rows of logits held at a time: 16 rows of a 49,152 vocabulary take 3 MB.
const LOGIT_ROWS: usize = 16;

impl Llama {
    /// The log-probability of each continuation after what `cache` holds: the sum over its tokens, natural logarithm.
    ///
    /// `prefix_logits` `[vocab]` are those of the cache's last row, as prefill or decode gave them. All continuations,
    /// of any lengths, run in one pass over the shared prefix; `cache` is not changed. An empty one scores 0.
    ///
    /// # Errors
    /// `invalid_argument` for ids outside of the vocabulary, logits of another length, or a context without room;
    /// `pack_invalid` if the model gives no numbers; `cancelled`.
    pub fn score(
        &self,
        cache: &KvCache,
        prefix_logits: &[f32],
        continuations: &[Vec<u32>],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let config = self.config();
        if prefix_logits.len() != config.vocab {
            return Err(Error::invalid_argument(format!(
                "score got {} prefix logits, expected one per token of the vocabulary, {}",
                prefix_logits.len(),
                config.vocab
            )));
        }
        if let Some(id) = continuations.iter().flatten().find(|&&id| id as usize >= config.vocab) {
            return Err(Error::invalid_argument(format!(
                "token id {id} is outside of the vocabulary of {}; encode labels with this model's own tokenizer",
                config.vocab
            )));
        }
        let longest = continuations.iter().map(Vec::len).max().unwrap_or(0);
        self.check_room(cache, longest.saturating_sub(1))?;
        cancel.check()?;

        let prefix = LogNormalizer::new(prefix_logits)?;
        let mut scores: Vec<f32> =
            continuations.iter().map(|c| c.first().map_or(0.0, |&id| prefix.log_prob(id))).collect();

        // A continuation's last token is only looked up, never run.
        let mut inputs = Vec::new();
        let mut lengths = Vec::new();
        let mut targets = Vec::new();
        for (index, ids) in continuations.iter().enumerate() {
            if let Some((_, run)) = ids.split_last().filter(|(_, run)| !run.is_empty()) {
                inputs.extend_from_slice(run);
                lengths.push(run.len());
                targets.extend(ids.iter().skip(1).map(|&id| (index, id)));
            }
        }
        if inputs.is_empty() {
            return Ok(scores);
        }
        let outputs = self.continue_side_by_side(self.embed(&inputs)?, cache, &lengths, cancel)?;
        for (rows, targets) in outputs.chunks(LOGIT_ROWS * config.hidden).zip(targets.chunks(LOGIT_ROWS)) {
            let logits = self.logits(rows, cancel)?;
            for (row, &(index, id)) in logits.chunks_exact(config.vocab).zip(targets) {
                if let Some(score) = scores.get_mut(index) {
                    *score += LogNormalizer::new(row)?.log_prob(id);
                }
            }
        }
        Ok(scores)
    }
}

/// Logits with the logarithm of their exponentials' sum.
struct LogNormalizer<'a> {
    logits: &'a [f32],
    log_sum: f64,
}

impl<'a> LogNormalizer<'a> {
    fn new(logits: &'a [f32]) -> Result<Self> {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&l| (f64::from(l) - max).exp()).sum();
        let log_sum = max + sum.ln();
        if log_sum.is_finite() {
            Ok(Self { logits, log_sum })
        } else {
            Err(Error::pack(
                "the language model's output is not a number: its weights are damaged, fetch the pack again",
            ))
        }
    }

    fn log_prob(&self, id: u32) -> f32 {
        self.logits.get(id as usize).map_or(f32::NEG_INFINITY, |&l| (f64::from(l) - self.log_sum) as f32)
    }
}
