//! Whisper: hidden states of the voice, and speech recognition.
//!
//! A port of OpenAI's Whisper (Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision") in the
//! shape of transformers' `modeling_whisper.py`. The weights are f16 in `speech.safetensors` and computed in f32.

mod encoder;
mod features;
mod matrix;
mod mel;
mod weights;

use std::path::Path;

pub use encoder::{HIDDEN, LAYERS, MAX_FRAMES};
pub use features::{pool_statistics, HiddenStates, POOLED};
pub use matrix::Matrix;
pub use mel::{LogMel, HOP, MEL_BANDS};

use crate::cancel::CancelToken;
use crate::error::Result;
use crate::media::Waveform;
use encoder::Encoder;
use weights::{map, weight_path, Weights};

/// Shorter sound is padded with silence to this: 0.1 s.
const MIN_SAMPLES: usize = 1600;
/// Mel frames in the longest input of the encoder: 30 s.
const MAX_MEL_FRAMES: usize = 2 * MAX_FRAMES;

/// The speech model of a pack. Immutable, shared between threads.
pub struct Whisper {
    mel: LogMel,
    encoder: Encoder,
}

impl Whisper {
    /// Loads `speech.safetensors` of a pack directory.
    ///
    /// # Errors
    /// `pack_invalid`, with the file and the tensor, when a file is missing or damaged.
    pub fn open(pack_dir: &Path) -> Result<Self> {
        let path = weight_path(pack_dir);
        let bytes = map(&path)?;
        let weights = Weights::parse(&path, &bytes)?;
        Ok(Self { mel: LogMel::new(), encoder: Encoder::load(&weights)? })
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
}
