//! The voice head: seven emotions from pooled Whisper encoder states and prosody.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use super::prosody::{Prosody, ProsodyNorms};
use crate::error::{Error, Result};
pub use crate::features::VOICE_CLASSES as VOICE7;

/// The head's file in a pack.
/// Format that this code reads.
const FORMAT: &str = "emotion-llama-voice-1";
/// Inputs are clipped here, in standard deviations of the training data: a strange channel must not shout down the voice.
const CLIP: f32 = 4.0;
/// Width of the encoder's states, and how many layers are pooled.
const HIDDEN: usize = 384;
const LAYERS: usize = 4;

/// Reads emotions out of a voice.
///
/// `z = clip((inputs - shift) * scale)`, then `posterior = softmax(weight z + bias)`; the temperature is part of the weights. The
/// inputs and the fitted values come from `training/voice/train.py`.
#[derive(Debug, Clone)]
pub struct VoiceHead {
    norms: ProsodyNorms,
    emotion: Linear,
    register: Linear,
}

impl VoiceHead {
    /// The head's file in a pack.
    pub(crate) const FILE: &str = "voice.safetensors";

    /// Opens `voice.safetensors` in a pack's directory.
    ///
    /// Fails with `not_found` when it is not there and `pack_invalid` when it is damaged or of another format.
    pub fn open(pack_dir: &Path) -> Result<Self> {
        let path = pack_dir.join(Self::FILE);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("{} is not there; rebuild the pack", path.display()))
            }
            _ => Error::pack(format!("{} cannot be read: {error}", path.display())),
        })?;
        Self::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| {
            metadata.get(key).ok_or_else(|| Error::pack(format!("metadata has no `{key}`; rebuild the pack")))
        };
        if entry("format")? != FORMAT {
            return Err(Error::pack(format!(
                "format is `{}`, expected `{FORMAT}`; rebuild the pack",
                entry("format")?
            )));
        }
        let norms = serde_json::from_str(entry("norms")?).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        Ok(Self {
            norms,
            emotion: Linear::read(&tensors, "emotion", entry("emotion.inputs")?, VOICE7.len())?,
            register: Linear::read(&tensors, "register", entry("register.inputs")?, 1)?,
        })
    }

    /// What [`super::measure`] is to compare with.
    pub fn norms(&self) -> &ProsodyNorms {
        &self.norms
    }

    /// Probability that the voice is a woman's or a child's rather than a man's, whatever its pitch and mood.
    pub fn female(&self, pooled: &[f32]) -> f32 {
        let logit = self.register.apply(pooled, &[]).first().copied().unwrap_or(0.0);
        1.0 / (1.0 + (-logit).exp())
    }

    /// `prosody` with its pitch seen from the register that the voice has by its sound, not by its pitch alone.
    ///
    /// `pooled`: as for [`VoiceHead::posterior`].
    pub fn place(&self, pooled: &[f32], prosody: &Prosody) -> Prosody {
        Prosody { z: self.norms.z(prosody, Some(self.female(pooled))), ..prosody.clone() }
    }

    /// Probabilities in the order of [`VOICE7`].
    ///
    /// `pooled` has 3072 values: mean and standard deviation over time of each of the four encoder layers, run on what
    /// [`super::condition`] gave (missing values count as average). `prosody` is what [`VoiceHead::place`] gave.
    pub fn posterior(&self, pooled: &[f32], prosody: &Prosody) -> [f32; 7] {
        let logits = self.emotion.apply(pooled, &prosody.z.to_array());
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut out = [0.0; 7];
        for (p, logit) in out.iter_mut().zip(&logits) {
            *p = (logit - top).exp();
        }
        let sum: f32 = out.iter().sum();
        out.map(|p| p / sum)
    }
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::pack(format!("the voice head is damaged ({error}); rebuild the pack"))
}

/// A group of inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Input {
    /// Values of the pooled vector from here, [`HIDDEN`] of them.
    Pooled(usize),
    /// The five z-scores.
    Prosody,
}

impl Input {
    /// `layer2.mean`, `layer0.std`, `prosody`, separated by commas.
    fn parse_list(list: &str) -> Result<Vec<Self>> {
        list.split(',')
            .map(|name| {
                if name == "prosody" {
                    return Ok(Input::Prosody);
                }
                let known = (0..LAYERS).find_map(|layer| {
                    let at = layer * 2 * HIDDEN;
                    match name.strip_prefix(&format!("layer{layer}."))? {
                        "mean" => Some(Input::Pooled(at)),
                        "std" => Some(Input::Pooled(at + HIDDEN)),
                        _ => None,
                    }
                });
                known.ok_or_else(|| {
                    Error::pack(format!("the voice head reads `{name}`, which this version does not know"))
                })
            })
            .collect()
    }

    fn width(self) -> usize {
        match self {
            Input::Pooled(_) => HIDDEN,
            Input::Prosody => 5,
        }
    }
}

/// Normalisation and one matrix.
#[derive(Debug, Clone)]
struct Linear {
    inputs: Vec<Input>,
    shift: Vec<f32>,
    scale: Vec<f32>,
    /// `[outputs, inputs]`, row by row.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    fn read(tensors: &SafeTensors, name: &str, inputs: &str, outputs: usize) -> Result<Self> {
        let inputs = Input::parse_list(inputs)?;
        let width: usize = inputs.iter().map(|i| i.width()).sum();
        let vector = |part: &str, shape: &[usize]| values(tensors, &format!("{name}.{part}"), shape);
        Ok(Self {
            shift: vector("shift", &[width])?,
            scale: vector("scale", &[width])?,
            weight: vector("weight", &[outputs, width])?,
            bias: vector("bias", &[outputs])?,
            inputs,
        })
    }

    fn apply(&self, pooled: &[f32], prosody: &[f32]) -> Vec<f32> {
        let mut x = Vec::with_capacity(self.shift.len());
        for input in &self.inputs {
            let found = match *input {
                Input::Pooled(at) => pooled.get(at..).unwrap_or(&[]),
                Input::Prosody => prosody,
            };
            let missing = &self.shift[x.len()..];
            let row: Vec<f32> =
                missing.iter().take(input.width()).enumerate().map(|(i, s)| *found.get(i).unwrap_or(s)).collect();
            x.extend(row);
        }
        for ((x, shift), scale) in x.iter_mut().zip(&self.shift).zip(&self.scale) {
            let z = (*x - shift) * scale;
            *x = if z.is_finite() { z.clamp(-CLIP, CLIP) } else { 0.0 };
        }
        let rows = self.weight.chunks_exact(x.len().max(1));
        rows.zip(&self.bias).map(|(row, b)| b + row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>()).collect()
    }
}

/// A tensor's values as f32, checked to have `shape` and to be finite.
fn values(tensors: &SafeTensors, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let tensor = tensors.tensor(name).map_err(damaged)?;
    if tensor.shape() != shape {
        return Err(Error::pack(format!(
            "`{name}` has shape {:?}, expected {shape:?}; rebuild the pack",
            tensor.shape()
        )));
    }
    let data = tensor.data();
    let out: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(Error::pack(format!("`{name}` is {other:?}, expected F32 or F16; rebuild the pack"))),
    };
    if out.iter().all(|x| x.is_finite()) {
        Ok(out)
    } else {
        Err(Error::pack(format!("`{name}` has values that are not finite; rebuild the pack")))
    }
}
