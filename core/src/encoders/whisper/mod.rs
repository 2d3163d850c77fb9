//! Whisper: hidden states of the voice, and speech recognition.
//!
//! A port of OpenAI's Whisper (Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision") in the
//! shape of transformers' `modeling_whisper.py`. The weights are f16 in `speech.safetensors` and computed in f32.

mod decoder;
mod encoder;
mod features;
mod half_rows;
mod matrix;
mod mel;
mod transcribe;
mod vocabulary;
mod weights;

use std::path::Path;

pub use encoder::{HIDDEN, LAYERS, MAX_FRAMES};
pub use features::{pool_statistics, HiddenStates, POOLED};
pub use matrix::Matrix;
pub use mel::{LogMel, HOP, MEL_BANDS};

use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::media::Waveform;
use decoder::Decoder;
use encoder::{Encoded, Encoder};
use transcribe::Recognizer;
use vocabulary::Vocabulary;
use weights::{map, Weights};

/// Shorter sound is padded with silence to this: 0.1 s.
const MIN_SAMPLES: usize = 1600;
/// Mel frames in the longest input of the encoder: 30 s.
const MAX_MEL_FRAMES: usize = 2 * MAX_FRAMES;

/// Tokens of the English Whisper models; the multilingual ones have one more.
const ENGLISH_VOCABULARY: usize = 51_864;

/// The speech model of a pack. Immutable, shared between threads.
pub struct Whisper {
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    /// Per token: never said.
    suppressed: Vec<bool>,
    /// Tokens that do not start a text.
    suppressed_first: Vec<u32>,
}

/// How to transcribe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TranscribeOptions {
    /// The language that is spoken, as an ISO 639-1 code such as `en`, where it is known.
    pub language: Option<String>,
}

/// What is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The words, trimmed; empty where nothing was understood.
    pub text: String,
    /// ISO 639-1 code of the language; empty where there is no text.
    pub language: String,
    /// Mean log-probability of the tokens of all windows, of those too that were not kept; nearer to 0 is surer. 0 where
    /// nothing was decoded.
    pub avg_logprob: f32,
    /// Highest probability of any window that nobody speaks, 0 to 1. 0 where nothing was decoded.
    pub no_speech_prob: f32,
}

impl Whisper {
    /// The weights' file in a pack.
    pub(crate) const FILE: &str = "speech.safetensors";

    /// Loads `speech.safetensors` and `speech_tokenizer.json` of a pack directory.
    ///
    /// # Errors
    /// `pack_invalid`, with the file and the tensor, when a file is missing or damaged.
    pub fn open(pack_dir: &Path) -> Result<Self> {
        let path = pack_dir.join(Self::FILE);
        let bytes = map(&path)?;
        let weights = Weights::parse(&path, &bytes)?;
        let size = weights.rows("decoder.embedding")?;
        if size != ENGLISH_VOCABULARY {
            let what = format!("a vocabulary of {size} tokens, the English one has {ENGLISH_VOCABULARY}");
            return Err(Error::pack(format!("speech weights {}: tensor decoder.embedding has {what}", path.display())));
        }
        let ((encoder, decoder), vocabulary) = rayon::join(
            || rayon::join(|| Encoder::load(&weights), || Decoder::load(&weights, size)),
            || Vocabulary::open(&pack_dir.join("speech_tokenizer.json"), size),
        );
        let vocabulary = vocabulary?;
        // The timestamps follow the last named control token.
        let mut suppressed: Vec<bool> = (0..size as u32).map(|token| !vocabulary.is_text(token)).collect();
        for token in weights.setting::<Vec<u32>>("suppress_ids")? {
            if let Some(slot) = suppressed.get_mut(token as usize) {
                *slot = true;
            }
        }
        suppressed[vocabulary.end_of_text as usize] = false;
        Ok(Self {
            mel: LogMel::new(),
            encoder: encoder?,
            decoder: decoder?,
            vocabulary,
            suppressed,
            suppressed_first: weights.setting("suppress_ids_begin")?,
        })
    }

    /// Hidden states of the four encoder layers on the clip's own length, not padded to 30 s.
    ///
    /// The spectrogram is normalised to the loudest point of the whole clip. A clip beyond 30 s is encoded in equal
    /// parts of at most 30 s. One below 0.1 s is padded with silence; an empty one has no frames.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn hidden_states(&self, audio: &Waveform, cancel: &CancelToken) -> Result<HiddenStates> {
        let mut layers: Vec<Matrix> = (0..LAYERS).map(|_| Matrix::zeros(0, HIDDEN)).collect();
        if audio.samples.is_empty() {
            return Ok(HiddenStates { layers });
        }
        let mel = if audio.samples.len() < MIN_SAMPLES {
            let mut padded = audio.samples.clone();
            padded.resize(MIN_SAMPLES, 0.0);
            self.mel.compute(&padded, cancel)?
        } else {
            self.mel.compute(&audio.samples, cancel)?
        };
        let parts = mel.rows.div_ceil(MAX_MEL_FRAMES);
        let part_rows = mel.rows.div_ceil(parts).next_multiple_of(2);
        for rows in mel.data.chunks(part_rows * MEL_BANDS) {
            let part = Matrix { rows: rows.len() / MEL_BANDS, cols: MEL_BANDS, data: rows.to_vec() };
            let mut into = layers.iter_mut();
            self.encoder.run(&part, cancel, |hidden| {
                if let Some(layer) = into.next() {
                    layer.data.extend_from_slice(&hidden.data);
                    layer.rows += hidden.rows;
                }
            })?;
        }
        Ok(HiddenStates { layers })
    }

    /// The words that are spoken. No text where nobody is heard to speak English: silence, noise, another language.
    ///
    /// The model knows English only. With another [`TranscribeOptions::language`] there is nothing to do; without one,
    /// a text that the model itself finds unlikely is not given. Long sound is read in windows of at most 30 s.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn transcribe(
        &self,
        audio: &Waveform,
        options: &TranscribeOptions,
        cancel: &CancelToken,
    ) -> Result<Transcript> {
        let english = |code: &str| code.eq_ignore_ascii_case("en") || code.to_ascii_lowercase().starts_with("en-");
        if options.language.as_deref().is_some_and(|code| !english(code)) || audio.samples.len() < MIN_SAMPLES {
            return Ok(Transcript::default());
        }
        let windows = self.recognizer().run(&audio.samples, cancel)?;
        let kept: Vec<&[u32]> =
            windows.iter().filter(|window| window.is_kept(&self.vocabulary)).map(|window| &window.tokens[..]).collect();
        let text = self.vocabulary.decode(&kept.concat()).trim().to_owned();
        let tokens: usize = windows.iter().map(|window| window.tokens.len() + 1).sum();
        Ok(Transcript {
            language: if text.is_empty() { String::new() } else { "en".to_owned() },
            text,
            avg_logprob: windows.iter().map(|window| window.sum_logprob).sum::<f32>() / tokens.max(1) as f32,
            no_speech_prob: windows.iter().map(|window| window.no_speech_prob).fold(0.0, f32::max),
        })
    }

    /// Of the silence that fills a short clip up to 30 s, one frame in this many is encoded.
    pub const SILENCE_STRIDE: usize = transcribe::STRIDE;

    /// Encoder output for recognition, the silence up to 30 s read with `stride`. For tests.
    ///
    /// # Errors
    /// `cancelled`.
    #[doc(hidden)]
    pub fn encoded(&self, audio: &Waveform, stride: usize, cancel: &CancelToken) -> Result<Matrix> {
        Ok(self.recognizer().encode(&audio.samples, stride, cancel)?.hidden)
    }

    /// Logits `[tokens, vocabulary]` of the decoder for given `tokens`, the silence up to 30 s read with `stride`. For tests.
    ///
    /// # Errors
    /// `cancelled`; `internal` for tokens that do not exist.
    #[doc(hidden)]
    pub fn logits(&self, audio: &Waveform, stride: usize, tokens: &[u32], cancel: &CancelToken) -> Result<Matrix> {
        let encoded = self.recognizer().encode(&audio.samples, stride, cancel)?;
        let mut cache = self.decoder.start(encoded, cancel)?;
        // The first two as the prompt, the others one by one: the way recognition takes.
        let (prompt, text) = tokens.split_at(tokens.len().min(2));
        let mut logits = self.decoder.logits(&self.decoder.forward(prompt, &mut cache, cancel)?);
        for &token in text {
            let next = self.decoder.logits(&self.decoder.forward(&[token], &mut cache, cancel)?);
            logits.data.extend_from_slice(&next.data);
            logits.rows += 1;
        }
        Ok(logits)
    }

    /// Encoder output for the spectrogram of a whole window `[3000, 80]`. For benchmarks.
    ///
    /// # Errors
    /// `cancelled`.
    #[doc(hidden)]
    pub fn encoded_window(&self, mel: &Matrix, cancel: &CancelToken) -> Result<Matrix> {
        self.encoder.run(mel, cancel, |_| ())
    }

    /// Logits of the last of `tokens`, read one by one after the prompt, with the encoder's output for a whole window. For benchmarks.
    ///
    /// # Errors
    /// `cancelled`; `internal` for tokens that do not exist.
    #[doc(hidden)]
    pub fn decoded(&self, hidden: Matrix, tokens: &[u32], cancel: &CancelToken) -> Result<Matrix> {
        let log_count = vec![0.0; hidden.rows];
        let mut cache = self.decoder.start(Encoded { hidden, log_count }, cancel)?;
        let prompt = [self.vocabulary.start_of_transcript, self.vocabulary.no_timestamps];
        let mut logits = self.decoder.logits(&self.decoder.forward(&prompt, &mut cache, cancel)?);
        for &token in tokens {
            logits = self.decoder.logits(&self.decoder.forward(&[token], &mut cache, cancel)?);
        }
        Ok(logits)
    }

    /// Text of token ids. For tests.
    #[doc(hidden)]
    pub fn decode_tokens(&self, tokens: &[u32]) -> String {
        self.vocabulary.decode(tokens)
    }

    /// Greedy text of one window as is, the silence up to 30 s read with `stride`: text, mean log-probability, no-speech
    /// probability. For tests.
    ///
    /// # Errors
    /// `cancelled`.
    #[doc(hidden)]
    pub fn window_text(&self, audio: &Waveform, stride: usize, cancel: &CancelToken) -> Result<(String, f32, f32)> {
        let window = self.recognizer().window(&audio.samples, stride, cancel)?;
        Ok((self.vocabulary.decode(&window.tokens), window.avg_logprob(), window.no_speech_prob))
    }

    fn recognizer(&self) -> Recognizer<'_> {
        Recognizer {
            mel: &self.mel,
            encoder: &self.encoder,
            decoder: &self.decoder,
            vocabulary: &self.vocabulary,
            suppressed: &self.suppressed,
            suppressed_first: &self.suppressed_first,
        }
    }
}
