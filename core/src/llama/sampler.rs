//! Choice of the next token from logits.
//!
//! Order as in transformers' `generate`: repetition penalty, temperature, top-k, top-p.

use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::error::{Error, Result};

/// How text is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// Most tokens to generate; at least 1.
    pub max_new_tokens: usize,
    /// Logits are divided by it; 0 is the same as `greedy`.
    pub temperature: f32,
    /// The smallest set of likeliest tokens whose probabilities reach this sum is drawn from; in `(0, 1]`, 1 is off.
    pub top_p: f32,
    /// Only this many likeliest tokens are drawn from; 0 is off.
    pub top_k: usize,
    /// Logits of tokens that were already generated (the prompt does not count) are divided by it where positive,
    /// multiplied where negative (Keskar et al. 2019); 1 is off.
    pub repetition_penalty: f32,
    /// The same seed, model, prompt and options give the same text.
    pub seed: u64,
    /// Always take the likeliest token (after the penalty).
    pub greedy: bool,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 500,
            temperature: 0.2,
            top_p: 0.9,
            top_k: 50,
            repetition_penalty: 1.05,
            seed: 0,
            greedy: false,
        }
    }
}

impl SamplingOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// `invalid_argument` naming the option, its value and the range.
    pub fn validate(&self) -> Result<()> {
        let bad = |name: &str, value: f32, range: &str| {
            Err(Error::invalid_argument(format!("{name} is {value}; it must be {range}")))
        };
        if self.max_new_tokens == 0 {
            return Err(Error::invalid_argument("max_new_tokens is 0; it must be at least 1"));
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return bad("temperature", self.temperature, "0 or more (0 is greedy)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("top_p", self.top_p, "above 0 and at most 1 (1 is off)");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return bad("repetition_penalty", self.repetition_penalty, "above 0 (1 is off)");
        }
        Ok(())
    }
}

/// Chooses tokens; holds the random state and what was generated so far.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplingOptions,
    random: ChaCha12Rng,
    /// Distinct generated ids, sorted.
    generated: Vec<u32>,
    candidates: Vec<(f32, u32)>,
    logits: Vec<f32>,
}

impl Sampler {
    /// A sampler at the start of a text.
    ///
    /// # Errors
    /// `invalid_argument`, see [`SamplingOptions::validate`].
    pub fn new(options: SamplingOptions) -> Result<Self> {
        options.validate()?;
        let random = ChaCha12Rng::seed_from_u64(options.seed);
        Ok(Self { options, random, generated: Vec::new(), candidates: Vec::new(), logits: Vec::new() })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplingOptions {
        &self.options
    }

    /// Makes room for `tokens` further ones, so that choosing them takes no memory.
    pub(super) fn reserve(&mut self, tokens: usize) {
        self.generated.reserve(tokens);
    }

    /// Counts `id` as generated, for the penalty; [`Sampler::sample`] does so itself.
    pub fn record(&mut self, id: u32) {
        if let Err(at) = self.generated.binary_search(&id) {
            self.generated.insert(at, id);
        }
    }

    /// The next token, given its `logits` `[vocab]`. Values that are not numbers are never chosen.
    ///
    /// # Errors
    /// `pack_invalid` if no logit is finite.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        self.penalise(logits);
        let id = if self.options.greedy || self.options.temperature == 0.0 {
            likeliest(&self.logits)
        } else {
            self.keep();
            self.draw()
        };
        let id = id.ok_or_else(|| {
            Error::pack("the language model's output is not a number: its weights are damaged, fetch the pack again")
        })?;
        self.record(id);
        Ok(id)
    }

    /// `logits` after the repetition penalty.
    pub fn penalised(&mut self, logits: &[f32]) -> &[f32] {
        self.penalise(logits);
        &self.logits
    }

    /// The tokens that would be drawn from, likeliest first, with their probabilities, which sum to 1.
    pub fn distribution(&mut self, logits: &[f32]) -> Vec<(u32, f64)> {
        self.penalise(logits);
        let kept = self.keep();
        self.candidates.iter().map(|c| (c.1, self.weight(c.0) / kept)).collect()
    }

    fn penalise(&mut self, logits: &[f32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        let penalty = self.options.repetition_penalty;
        for &id in &self.generated {
            if let Some(logit) = self.logits.get_mut(id as usize) {
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }

    /// Leaves the tokens that top-k and top-p keep in `candidates`, likeliest first; gives the sum of their weights.
    fn keep(&mut self) -> f64 {
        let SamplingOptions { top_p, top_k, .. } = self.options;
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.reserve(self.logits.len());
        candidates.extend(self.logits.iter().zip(0u32..).filter(|(l, _)| l.is_finite()).map(|(&l, id)| (l, id)));
        // Equal logits keep the order of their ids, so that the draw does not depend on how the sort works.
        let likelier = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k - 1, likelier);
            candidates.truncate(top_k);
        }
        candidates.sort_unstable_by(likelier);
        let total: f64 = self.candidates.iter().map(|c| self.weight(c.0)).sum();
        let mut kept = 0.0;
        let mut keep = 0;
        for candidate in &self.candidates {
            keep += 1;
            kept += self.weight(candidate.0);
            if kept >= f64::from(top_p) * total {
                break;
            }
        }
        self.candidates.truncate(keep);
        kept
    }

    /// A candidate's probability, up to a factor: `exp` of its distance from the likeliest over the temperature.
    fn weight(&self, logit: f32) -> f64 {
        let most = self.candidates.first().map_or(0.0, |c| f64::from(c.0));
        ((f64::from(logit) - most) / f64::from(self.options.temperature)).exp()
    }

    fn draw(&mut self) -> Option<u32> {
        let kept: f64 = self.candidates.iter().map(|c| self.weight(c.0)).sum();
        // 53 random bits make a uniform number in [0, 1).
        let uniform = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = uniform * kept;
        for &(logit, id) in &self.candidates {
            left -= self.weight(logit);
            if left < 0.0 {
                return Some(id);
            }
        }
        self.candidates.last().map(|c| c.1)
    }
}

/// The first of the greatest finite logits.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(f32, u32)> = None;
    for (&logit, id) in logits.iter().zip(0u32..) {
        if logit.is_finite() && best.is_none_or(|(b, _)| logit > b) {
            best = Some((logit, id));
        }
    }
    best.map(|b| b.1)
}
