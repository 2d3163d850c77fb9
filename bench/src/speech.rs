//! Recognition of speech: the whole of it, and its two nets on a window of 30 s.

use std::path::Path;
use std::time::Instant;

use emotion_llama_core::encoders::whisper::{Matrix, TranscribeOptions, Whisper, MAX_FRAMES, MEL_BANDS};
use emotion_llama_core::media::{Source, Waveform};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::{media, number};

/// The speech model, and a clip's sound.
pub struct Speech {
    whisper: Whisper,
    sound: Waveform,
}

impl Speech {
    /// The speech model of a pack, with the sound of a clip.
    pub fn open(pack: &Path, clip: &str) -> Result<Self> {
        let sound = media::decode(&Source::from(Path::new(clip)), 0, 1)?.audio;
        let sound = sound.ok_or_else(|| Error::invalid_argument("the clip has no sound"))?;
        Ok(Self { whisper: Whisper::open(pack)?, sound })
    }

    /// Seconds of one measurement.
    pub fn time(&self, words: &[&str]) -> Result<f64> {
        let cancel = CancelToken::new();
        match words {
            ["encode"] => {
                let rows = 2 * MAX_FRAMES;
                let data = (0..rows * MEL_BANDS).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
                let mel = Matrix { rows, cols: MEL_BANDS, data };
                let began = Instant::now();
                self.whisper.encoded_window(&mel, &cancel)?;
                Ok(began.elapsed().as_secs_f64())
            }
            ["decode", tokens] => {
                let tokens: Vec<u32> = (0..number(tokens)? as u32).map(|i| 1_000 + 37 * i).collect();
                let encoded = self.whisper.encoded(&self.sound, 1, &cancel)?;
                let began = Instant::now();
                self.whisper.decoded(encoded, &tokens, &cancel)?;
                Ok(began.elapsed().as_secs_f64())
            }
            ["transcribe"] => {
                let began = Instant::now();
                let spoken = self.whisper.transcribe(&self.sound, &TranscribeOptions::default(), &cancel)?;
                let took = began.elapsed().as_secs_f64();
                match spoken.text.is_empty() {
                    true => Err(Error::invalid_argument("nothing was understood")),
                    false => Ok(took),
                }
            }
            ["voice"] => {
                let began = Instant::now();
                self.whisper.hidden_states(&self.sound, &cancel)?;
                Ok(began.elapsed().as_secs_f64())
            }
            _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
        }
    }
}
