//! Greedy recognition of speech, window by window.
//!
//! Follows `decode_with_fallback` and `DecodingTask` of OpenAI's `whisper/decoding.py` where it can: suppressed tokens, no
//! blank at the start, no-speech probability from the start token, mean log-probability over the text and its end.
//! Two things differ. Sampling at higher temperatures is not tried, so that a run is repeatable. And the silence that
//! fills a short clip up to 30 s is encoded by one frame in [`STRIDE`] ([`Encoder::run_in_silence`]), at about a sixth
//! of the cost. The text is the same in most cases; where it looks unsure more of the silence is computed, at last all.

use super::decoder::{Cache, Decoder, MAX_TOKENS};
use super::encoder::{Encoded, Encoder};
use super::matrix::{highest, log_sum, Matrix};
use super::mel::{LogMel, HOP};
use super::vocabulary::Vocabulary;
use crate::cancel::CancelToken;
use crate::error::Result;

/// Samples in the longest window: 30 s.
pub(super) const WINDOW: usize = 30 * 16_000;
/// Silence after the sound that is encoded frame by frame, in samples.
const LEAD: usize = 8_000;
/// Of the silence after that, one frame in this many is encoded.
pub(super) const STRIDE: usize = 8;
/// Strides to try in turn, each with the mean log-probability from which on its text is taken without another look.
const LOOKS: [(usize, f32); 3] = [(STRIDE, -0.35), (4, -0.6), (1, f32::NEG_INFINITY)];
/// Long audio is cut at the quietest place of this many samples before the end of a window.
const SEARCH: usize = 5 * 16_000;
/// Length of the quiet place at which long audio is cut, in samples.
const QUIET: usize = 1600;
/// Tokens for one window: people say fewer than eight a second.
const TOKENS_PER_SECOND: usize = 10;
const MIN_TOKENS: usize = 16;
const MAX_TEXT_TOKENS: usize = MAX_TOKENS / 2;
/// The mean square below which a window is silence: -70 dB of full scale.
const SILENCE: f32 = 1e-7;
/// Below this mean log-probability a text is not kept. German speech, which the model hears as English, lies below it
/// (median -1.3), English speech above (median -0.2).
const MIN_LOGPROB: f32 = -0.75;
/// Below this mean log-probability another look does not help.
const HOPELESS_LOGPROB: f32 = -1.0;
/// Above this no-speech probability a window without a confident text is silence or noise.
const NO_SPEECH: f32 = 0.6;
/// A phrase that repeats this often in a row is a loop.
const LOOP: usize = 4;

/// What one window says.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    pub tokens: Vec<u32>,
    pub sum_logprob: f32,
    pub no_speech_prob: f32,
    pub looped: bool,
}

impl Window {
    /// Mean log-probability of the tokens and the end of the text.
    pub fn avg_logprob(&self) -> f32 {
        self.sum_logprob / (self.tokens.len() + 1) as f32
    }

    /// Whether this is speech, and understood.
    pub fn is_kept(&self, vocabulary: &Vocabulary) -> bool {
        let sure = self.avg_logprob() >= MIN_LOGPROB;
        let speech = self.no_speech_prob < NO_SPEECH;
        sure && speech && !self.looped && has_words(&vocabulary.decode(&self.tokens))
    }
}

/// Borrowed parts of the model.
pub(super) struct Recognizer<'a> {
    pub mel: &'a LogMel,
    pub encoder: &'a Encoder,
    pub decoder: &'a Decoder,
    pub vocabulary: &'a Vocabulary,
    /// Per token: never said.
    pub suppressed: &'a [bool],
    /// Tokens that do not start a text.
    pub suppressed_first: &'a [u32],
}

impl Recognizer<'_> {
    /// What is heard in the windows of `samples` that are not silent.
    pub fn run(&self, samples: &[f32], cancel: &CancelToken) -> Result<Vec<Window>> {
        let mut windows = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let (window, after) = rest.split_at(cut(rest));
            rest = after;
            let energy = window.iter().filter(|x| x.is_finite()).map(|x| x * x).sum::<f32>() / window.len() as f32;
            if energy < SILENCE {
                continue;
            }
            let mut result = Window::default();
            for (stride, sure) in LOOKS {
                result = self.window(window, stride, cancel)?;
                let logprob = result.avg_logprob();
                if !result.looped && (logprob >= sure || logprob < HOPELESS_LOGPROB) {
                    break;
                }
            }
            windows.push(result);
        }
        Ok(windows)
    }

    /// Encodes `samples`, followed by silence until 30 s of which one frame in `stride` is computed.
    pub fn encode(&self, samples: &[f32], stride: usize, cancel: &CancelToken) -> Result<Encoded> {
        let mut padded = samples.to_vec();
        padded.resize((samples.len() + LEAD).next_multiple_of(2 * HOP).min(WINDOW), 0.0);
        self.encoder.run_in_silence(&self.mel.compute(&padded, cancel)?, stride, cancel)
    }

    /// Greedy text of one window.
    pub fn window(&self, samples: &[f32], stride: usize, cancel: &CancelToken) -> Result<Window> {
        let encoded = self.encode(samples, stride, cancel)?;
        let mut cache = self.decoder.start(encoded, cancel)?;
        let prompt = [self.vocabulary.start_of_transcript, self.vocabulary.no_timestamps];
        let logits = self.next_logits(&prompt, &mut cache, cancel)?;
        let mut rows = logits.iter_rows();
        let start = rows.next().unwrap_or(&[]);
        let no_speech_prob = start.get(self.vocabulary.no_speech as usize).map_or(0.0, |&x| (x - log_sum(start)).exp());
        let mut next = rows.next().unwrap_or(&[]).to_vec();
        for &token in self.suppressed_first {
            if let Some(logit) = next.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let limit = (MIN_TOKENS + samples.len() * TOKENS_PER_SECOND / 16_000).min(MAX_TEXT_TOKENS);
        let mut window = Window { tokens: Vec::new(), sum_logprob: 0.0, no_speech_prob, looped: false };
        loop {
            next.iter_mut().zip(self.suppressed).filter(|(_, &off)| off).for_each(|(x, _)| *x = f32::NEG_INFINITY);
            let (token, logit) = best(&next);
            window.sum_logprob += logit - log_sum(&next);
            if token == self.vocabulary.end_of_text {
                return Ok(window);
            }
            window.tokens.push(token);
            window.looped = is_loop(&window.tokens) || window.tokens.len() >= limit;
            if window.looped {
                return Ok(window);
            }
            next = self.next_logits(&[token], &mut cache, cancel)?.data;
        }
    }

    fn next_logits(&self, tokens: &[u32], cache: &mut Cache, cancel: &CancelToken) -> Result<Matrix> {
        let hidden = self.decoder.forward(tokens, cache, cancel)?;
        cancel.check()?;
        Ok(self.decoder.logits(&hidden))
    }
}

/// How many of `samples` make the next window: all that fits, or up to the quietest place in the last 5 s of 30.
fn cut(samples: &[f32]) -> usize {
    if samples.len() <= WINDOW {
        return samples.len();
    }
    let energy = |at: usize| samples[at..at + QUIET].iter().filter(|x| x.is_finite()).map(|x| x * x).sum::<f32>();
    let places = (WINDOW - SEARCH..=WINDOW - QUIET).step_by(QUIET / 2);
    let quietest = places.min_by(|&a, &b| energy(a).total_cmp(&energy(b)));
    quietest.map_or(WINDOW, |at| at + QUIET / 2)
}

/// The first of the highest logits.
fn best(logits: &[f32]) -> (u32, f32) {
    let highest = highest(logits);
    let token = logits.iter().position(|&x| x == highest).unwrap_or(0);
    (token as u32, highest)
}

/// Whether the tokens end in one phrase of up to 16 tokens, [`LOOP`] times over.
fn is_loop(tokens: &[u32]) -> bool {
    (1..=16).any(|phrase| {
        let Some(start) = tokens.len().checked_sub(LOOP * phrase) else { return false };
        let (first, rest) = tokens[start..].split_at(phrase);
        rest.chunks_exact(phrase).all(|next| next == first)
    })
}

/// Whether a text says anything: "[Music]", "(sighs)", "..." and the like do not.
fn has_words(text: &str) -> bool {
    let text = text.trim();
    let is_note = (text.starts_with('[') && text.ends_with(']')) || (text.starts_with('(') && text.ends_with(')'));
    !is_note && text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_seen_and_a_sentence_is_not() {
        assert!(is_loop(&[9, 1, 1, 1, 1]));
        assert!(is_loop(&[7, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]));
        assert!(!is_loop(&[1, 1, 1]));
        assert!(!is_loop(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 4]));
    }

    #[test]
    fn long_sound_is_cut_where_it_is_quiet() {
        let mut samples = vec![0.5; 40 * 16_000];
        samples[28 * 16_000..28 * 16_000 + 3200].fill(0.0);
        let at = cut(&samples);
        assert!((28 * 16_000..28 * 16_000 + 3200).contains(&at), "cut at {at}");
        assert_eq!(cut(&samples[..WINDOW]), WINDOW);
    }

    #[test]
    fn notes_of_sounds_are_not_words() {
        assert!(!has_words(" [MUSIC]") && !has_words(" (sighs) ") && !has_words(" ...") && !has_words(""));
        assert!(has_words(" No.") && has_words(" [Music] Hello"));
    }
}
