//! The result of an analysis.

use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::face::FaceBox;
use crate::features::Cue;

/// What a person in a clip feels, and what shows it. Serialises to the JSON that every interface gives, and is read from it: fields that
/// are not known are passed over, those that are left out have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Analysis {
    /// The text as the model gave it.
    pub response: String,
    /// The label with the highest probability; empty where a server's answer names none.
    pub emotion: String,
    /// Its probability, 0..1. None only from a server that does not tell.
    pub confidence: Option<f32>,
    /// Each allowed label with its probability: the likelihood that the language model gives the label word as the answer,
    /// normalised over the labels. Sums to 1; empty only from a server that does not tell.
    pub probabilities: IndexMap<String, f32>,
    /// What shows it, in sentences; empty when only the label was asked for.
    pub explanation: String,
    /// What is said in the clip; None when nothing is, or when it was not wanted.
    pub transcript: Option<String>,
    /// ISO 639-1 code of the language that the speech recognition heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Every face that was found, the described one first.
    pub faces: Vec<Face>,
    /// The frame that was described; None without a face or without pictures.
    pub frame: Option<DescribedFrame>,
    /// What was measured.
    pub cues: Vec<Cue>,
    /// Tokens read and written by the language model.
    pub usage: Usage,
    /// Where the time went.
    pub timings_ms: Timings,
    /// Milliseconds from the beginning of the call until `emotion` and `probabilities` were known; the text follows. 0 from a server that
    /// does not tell.
    pub time_to_label_ms: f64,
    /// Which model answered.
    pub model: ModelInfo,
    /// What the caller should know of this input, for example that it has no sound.
    pub notes: Vec<AnalysisNote>,
}

/// A rectangle in pixels of the source picture, after rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl From<FaceBox> for Rect {
    fn from(b: FaceBox) -> Self {
        Self { x: b.x, y: b.y, width: b.width, height: b.height }
    }
}

/// A face, followed through the clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Face {
    /// Where it is, in the frame at `time_s`.
    #[serde(rename = "box")]
    pub bbox: Rect,
    /// How sure the detector is, 0..1.
    pub score: f32,
    /// Number of the person, the same through the clip.
    pub track: usize,
    /// Time of the frame, in seconds.
    pub time_s: f64,
}

/// The frame that was described.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribedFrame {
    /// Its time, in seconds.
    pub time_s: f64,
    /// Its number in the stream, from 0.
    pub index: u64,
    /// The face in it.
    pub face: Option<Rect>,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Positions of the prompt, soft tokens included.
    pub prompt_tokens: usize,
    /// Tokens of the response.
    pub completion_tokens: usize,
    /// Positions of the prompt that a [`Session`](crate::session::Session) had read before and did not read again. What all prompts of a pack begin
    /// with, which calls share, does not count.
    pub cached_tokens: usize,
}

/// Wall-clock milliseconds of each stage. A file is decoded, its faces read and its voice heard side by side, so the parts may add up to more than
/// the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Until pictures and sound of a file are decoded.
    pub decode: f64,
    /// Finding, aligning and reading faces, from the first frame that comes out of the decoder.
    pub preprocess: f64,
    /// Voice features, prosody and speech recognition; the encoders of a converted pack.
    pub encode: f64,
    /// Projection, and reading the prompt.
    pub prefill: f64,
    /// Scoring the labels and writing the answer.
    pub generate: f64,
    /// The whole call.
    pub total: f64,
}

/// Milliseconds since `began`.
pub(crate) fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Which model answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    /// Name of the pack.
    pub name: String,
    /// Version of the pack.
    pub version: String,
    /// SHA-256 of the pack's manifest.
    pub digest: String,
}

/// Something that is not an error but that the caller should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnalysisNote {
    /// Stable snake_case name, for example `no_face`.
    pub name: String,
    /// One sentence for a person.
    pub message: String,
}

impl AnalysisNote {
    /// A note called `name`.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Level;

    fn analysis() -> Analysis {
        let rect = Rect { x: 0.1, y: 2.0, width: 3.3, height: 4.7 };
        Analysis {
            response: "The person feels happy.\nAh \"so\".".into(),
            emotion: "happy".into(),
            confidence: Some(0.7),
            probabilities: [("happy".to_owned(), 0.7), ("sad".to_owned(), 0.3)].into(),
            explanation: "Ah.".into(),
            transcript: Some("你好".into()),
            language: Some("zh".into()),
            faces: vec![Face { bbox: rect, score: 0.9, track: 1, time_s: 0.25 }],
            frame: Some(DescribedFrame { time_s: 0.25, index: 7, face: Some(rect) }),
            cues: vec![Cue::new("pitch", 1.2, ["low", "high"]).with_value(210.0, "hertz")],
            usage: Usage { prompt_tokens: 5, completion_tokens: 6, cached_tokens: 1 },
            timings_ms: Timings { decode: 1.5, total: 9.0, ..Timings::default() },
            time_to_label_ms: 7.5,
            model: ModelInfo { name: "mini".into(), version: "1".into(), digest: "ab".into() },
            notes: vec![AnalysisNote::new("no_voice", "there is none")],
        }
    }

    #[test]
    fn an_analysis_is_read_from_its_own_json() {
        for analysis in
            [analysis(), Analysis { confidence: None, language: None, frame: None, ..analysis() }, Analysis::default()]
        {
            let text = serde_json::to_string(&analysis).unwrap();
            assert_eq!(serde_json::from_str::<Analysis>(&text).unwrap(), analysis, "{text}");
        }
        assert!(serde_json::to_value(Analysis::default()).unwrap()["confidence"].is_null());
    }

    #[test]
    fn what_another_release_adds_or_leaves_out_does_no_harm() {
        let text =
            r#"{"emotion": "sad", "mood": 3, "cues": [{"name": "gaze", "z": 1, "level": "extreme", "angle": 4}]}"#;
        let analysis: Analysis = serde_json::from_str(text).unwrap();
        assert_eq!((analysis.emotion.as_str(), analysis.confidence), ("sad", None));
        assert_eq!((analysis.cues[0].name.as_ref(), analysis.cues[0].level), ("gaze", Level::Normal));
    }
}
