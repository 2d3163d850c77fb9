//! What was measured in a clip, as numbers for the projectors and as cues for people.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Face classes, in the order of every face posterior.
pub const FACE_CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
/// Voice classes, in the order of every voice posterior.
pub const VOICE_CLASSES: [&str; 7] = ["neutral", "angry", "happy", "sad", "fear", "disgust", "bored"];

const Z_LIMIT: f32 = 3.0;
const LN_FLOOR: f32 = -8.0;
/// From this distance of the norm on, in standard deviations, a cue is called high or low.
const NOTABLE: f32 = 0.8;

/// What is known of the face.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceFeatures {
    /// Posterior over [`FACE_CLASSES`] at the described frame.
    pub peak: [f32; 7],
    /// Posterior over [`FACE_CLASSES`], mean over the clip.
    pub mean: [f32; 7],
    /// Brow height, brow gap, eye opening, mouth opening, mouth corners, mouth width: standard deviations from a neutral face.
    pub geometry: [f32; 6],
}

/// What is known of the voice.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceFeatures {
    /// Posterior over [`VOICE_CLASSES`].
    pub posterior: [f32; 7],
    /// Pitch, pitch range, energy, rate, brightness: standard deviations from neutral speech.
    pub prosody: [f32; 5],
}

/// All that the language model is told besides the words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// None: no face was found.
    pub face: Option<FaceFeatures>,
    /// None: no voice was heard.
    pub voice: Option<VoiceFeatures>,
    /// What the published model's encoders give; None with the built-in model, which has none.
    pub encoded: Option<EncodedClip>,
}

/// What the published model's encoders give for a clip.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EncodedClip {
    /// EVA's tokens of the described frame after `ln_vision`, `[1 + patches, width]`, class token first.
    pub picture: Vec<f32>,
    /// One vector per encoder.
    pub clip: ClipFeatures,
}

/// One vector per clip from each encoder of the published model (1024 values each); None stands for zeros, as the published demo
/// feeds them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClipFeatures {
    /// MAE, the face.
    pub mae: Option<Vec<f32>>,
    /// VideoMAE, the face's motion.
    pub videomae: Option<Vec<f32>>,
    /// HuBERT, the voice.
    pub hubert: Option<Vec<f32>>,
}

impl Features {
    /// The vector of the feature that a pack calls `name`; None if there is no such feature. A missing modality is all zeros;
    /// the last value is 1 when it is present.
    pub fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let face = self.face.as_ref();
        let voice = self.voice.as_ref();
        Some(match name {
            "face_peak" => posterior_vector(face.map(|face| &face.peak)),
            "face_time" => posterior_vector(face.map(|face| &face.mean)),
            "geometry" => z_vector(face.map(|face| &face.geometry)),
            "voice" => posterior_vector(voice.map(|voice| &voice.posterior)),
            "prosody" => z_vector(voice.map(|voice| &voice.prosody)),
            _ => return None,
        })
    }
}

/// `[p, max(ln p, -8) / 8, 1]`, or zeros.
fn posterior_vector(posterior: Option<&[f32; 7]>) -> Vec<f32> {
    let Some(posterior) = posterior else { return vec![0.0; 15] };
    let logs = posterior.iter().map(|p| p.ln().max(LN_FLOOR) / -LN_FLOOR);
    posterior.iter().copied().chain(logs).chain([1.0]).collect()
}

/// `[z clamped to ±3, divided by 3, …, 1]`, or zeros.
fn z_vector<const N: usize>(z: Option<&[f32; N]>) -> Vec<f32> {
    let Some(z) = z else { return vec![0.0; N + 1] };
    z.iter().map(|z| z.clamp(-Z_LIMIT, Z_LIMIT) / Z_LIMIT).chain([1.0]).collect()
}

/// Where a measured cue lies relative to its norm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Notably below.
    Low,
    /// Notably above.
    High,
    /// Near it.
    #[default]
    #[serde(other)]
    Normal,
}

/// One measurement, for people and for programs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cue {
    /// Stable name, for example `mouth_corner` or `pitch`.
    pub name: Cow<'static, str>,
    /// The measurement in `unit`, where it has one beside `z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f32>,
    /// Unit of `value`: `hertz`, `semitones`, `decibels`, `syllables_per_second`, `hertz_centroid`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'static, str>>,
    /// Standard deviations from the norm.
    pub z: f32,
    /// `low`, `normal` or `high`.
    pub level: Level,
    /// The level in words, for example `raised`.
    pub reading: Cow<'static, str>,
}

impl Cue {
    /// A cue called `name` whose low and high readings are `words`.
    pub fn new(name: &'static str, z: f32, words: [&'static str; 2]) -> Self {
        let level = match z {
            z if z >= NOTABLE => Level::High,
            z if z <= -NOTABLE => Level::Low,
            _ => Level::Normal,
        };
        let reading = match level {
            Level::Low => words[0],
            Level::Normal => "as usual",
            Level::High => words[1],
        };
        Self { name: name.into(), value: None, unit: None, z, level, reading: reading.into() }
    }

    /// The same with the measured value and its unit.
    #[must_use]
    pub fn with_value(mut self, value: f32, unit: &'static str) -> Self {
        self.value = Some(value);
        self.unit = Some(unit.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Features {
        Features {
            face: Some(FaceFeatures {
                peak: [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                mean: [1.0 / 7.0; 7],
                geometry: [9.0; 6],
            }),
            voice: Some(VoiceFeatures { posterior: [1.0 / 7.0; 7], prosody: [-1.5; 5] }),
            encoded: None,
        }
    }

    #[test]
    fn vectors_hold_probabilities_scaled_logs_and_presence() {
        let vector = some().vector("face_peak").unwrap();
        assert_eq!(vector.len(), 15);
        assert_eq!((vector[3], vector[10], vector[14]), (1.0, 0.0, 1.0));
        assert_eq!((vector[0], vector[7]), (0.0, -1.0));
        assert_eq!(some().vector("geometry").unwrap(), [1.0; 7]);
        assert_eq!(some().vector("prosody").unwrap(), [-0.5, -0.5, -0.5, -0.5, -0.5, 1.0]);
    }

    #[test]
    fn a_missing_modality_is_all_zeros() {
        for (name, width) in [("face_peak", 15), ("face_time", 15), ("geometry", 7), ("voice", 15), ("prosody", 6)] {
            assert_eq!(Features::default().vector(name).unwrap(), vec![0.0; width], "{name}");
            assert_eq!(some().vector(name).unwrap().len(), width, "{name}");
        }
        assert_eq!(some().vector("smell"), None);
    }

    #[test]
    fn a_cue_reads_by_its_distance_from_the_norm() {
        assert_eq!(Cue::new("brow_height", 0.8, ["lowered", "raised"]).reading, "raised");
        assert_eq!(Cue::new("brow_height", -0.8, ["lowered", "raised"]).reading, "lowered");
        assert_eq!(Cue::new("brow_height", 0.79, ["lowered", "raised"]).level, Level::Normal);
    }
}
