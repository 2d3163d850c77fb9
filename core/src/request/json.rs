//! A request as JSON: what the command, the C ABI, the SDKs and the server take.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ClipRequest, Question, Request, Transcript};
use crate::error::{Error, Result};
use crate::face::FramePick;
use crate::features::ClipFeatures;
use crate::llama::SamplingOptions;
use crate::media::{Limits, Source};
use crate::prompt::published::PromptPath;
use crate::prompt::Task;

/// Every field may be left out; one that is not known is an error, so that a misspelt option is not passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    path: Option<PathBuf>,
    task: Option<String>,
    prompt: Option<String>,
    transcript: Option<String>,
    labels: Option<Vec<String>>,
    frame: Option<Frame>,
    prompt_path: Option<PromptPath>,
    features: Features,
    max_new_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    repetition_penalty: Option<f32>,
    seed: Option<u64>,
    greedy: Option<bool>,
    limits: LimitFields,
}

/// `peak`, `first`, `middle`, or seconds from the start.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Frame {
    Seconds(f64),
    Name(String),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Features {
    mae: Option<Vec<f32>>,
    videomae: Option<Vec<f32>>,
    hubert: Option<Vec<f32>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitFields {
    max_duration_s: Option<f64>,
    max_pixels: Option<u64>,
    max_streams: Option<usize>,
    max_bytes: Option<u64>,
}

impl Request {
    /// Reads a JSON object with the fields `path`, `task` (`emotion`, `reason` or `free`), `prompt`, `transcript` (`auto`, `none` or the words),
    /// `labels`, `frame` (`peak`, `first`, `middle` or seconds), `prompt_path`, `features` (`mae`, `videomae`, `hubert`), `max_new_tokens`,
    /// `temperature`, `top_p`, `top_k`, `repetition_penalty`, `seed`, `greedy` and `limits`. All may be left out but `path` where no
    /// `source` is given.
    ///
    /// # Errors
    /// `invalid_argument` naming the field: text that is no such object, a field that is not known or of another type, a value out of its
    /// range, no clip or two.
    pub fn from_json(text: &[u8], source: Option<Source>) -> Result<Self> {
        let (fields, question) = Fields::parse(text)?;
        let source = match (source, fields.path) {
            (Some(source), None) => source,
            (None, Some(path)) => Source::from(path),
            (Some(_), Some(path)) => {
                return Err(Error::invalid_argument(format!(
                    "the request names {} and a clip was given beside it; give one of them",
                    path.display()
                )))
            }
            (None, None) => {
                return Err(Error::invalid_argument(
                    "the request has no clip; give \"path\", or the clip's bytes beside it",
                ))
            }
        };
        let limits = Limits::default();
        Ok(Self {
            question,
            transcript: fields.transcript.as_deref().map_or(Transcript::Auto, Transcript::from),
            frame: fields.frame.map_or(Ok(FramePick::Peak), Frame::pick)?,
            limits: Limits {
                max_duration_s: fields.limits.max_duration_s.unwrap_or(limits.max_duration_s),
                max_pixels: fields.limits.max_pixels.unwrap_or(limits.max_pixels),
                max_streams: fields.limits.max_streams.unwrap_or(limits.max_streams),
                max_bytes: fields.limits.max_bytes.or(limits.max_bytes),
            },
            features: fields.features.into(),
            ..Self::new(source)
        })
    }
}

impl ClipRequest {
    /// As [`Request::from_json`], about a clip that is there already: `path` and `limits` are refused.
    ///
    /// # Errors
    /// As [`Request::from_json`].
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let (fields, question) = Fields::parse(text)?;
        if let Some(path) = fields.path {
            return Err(Error::invalid_argument(format!(
                "the request names {}, but the clip is there already; leave \"path\" out",
                path.display()
            )));
        }
        if fields.limits != LimitFields::default() {
            return Err(Error::invalid_argument(
                "\"limits\" are for files; leave them out, as the clip is there already",
            ));
        }
        Ok(Self {
            question,
            transcript: fields.transcript.as_deref().map_or(Transcript::Auto, Transcript::from),
            frame: fields.frame.map_or(Ok(FramePick::Peak), Frame::pick)?,
            features: fields.features.into(),
        })
    }
}

impl Question {
    /// As [`Request::from_json`], about a clip that was observed already: only what concerns the question and its answer may be given.
    ///
    /// # Errors
    /// As [`Request::from_json`].
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let (fields, question) = Fields::parse(text)?;
        let clip_fields = [
            ("path", fields.path.is_some()),
            ("transcript", fields.transcript.is_some()),
            ("frame", fields.frame.is_some()),
            ("features", fields.features != Features::default()),
            ("limits", fields.limits != LimitFields::default()),
        ];
        match clip_fields.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::invalid_argument(format!(
                "{name:?} is about the clip, which was observed already; give it when the conversation begins"
            ))),
            None => Ok(question),
        }
    }
}

impl Fields {
    /// The fields, and the question that they make.
    fn parse(text: &[u8]) -> Result<(Self, Question)> {
        let unexpected = |what: String| Error::invalid_argument(format!("the request is not what is expected: {what}"));
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(unexpected("it is no JSON object; write {\"path\": …}".into()));
        }
        let mut fields: Fields = serde_json::from_slice(text).map_err(|error| unexpected(error.to_string()))?;
        let defaults = SamplingOptions::default();
        let question = Question {
            task: fields.task.as_deref().map(Task::parse).transpose()?,
            prompt: fields.prompt.take(),
            labels: fields.labels.take(),
            prompt_path: fields.prompt_path,
            sampling: SamplingOptions {
                max_new_tokens: fields.max_new_tokens.unwrap_or(defaults.max_new_tokens),
                temperature: fields.temperature.unwrap_or(defaults.temperature),
                top_p: fields.top_p.unwrap_or(defaults.top_p),
                top_k: fields.top_k.unwrap_or(defaults.top_k),
                repetition_penalty: fields.repetition_penalty.unwrap_or(defaults.repetition_penalty),
                seed: fields.seed.unwrap_or(defaults.seed),
                greedy: fields.greedy.unwrap_or(defaults.greedy),
            },
        };
        question.validate()?;
        Ok((fields, question))
    }
}

impl From<Features> for ClipFeatures {
    fn from(given: Features) -> Self {
        Self { mae: given.mae, videomae: given.videomae, hubert: given.hubert }
    }
}

impl Frame {
    fn pick(self) -> Result<FramePick> {
        match self {
            Frame::Seconds(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(FramePick::At(seconds)),
            Frame::Seconds(seconds) => {
                Err(Error::invalid_argument(format!("frame is {seconds}; give 0 or more seconds from the start")))
            }
            Frame::Name(name) => FramePick::parse(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Request> {
        Request::from_json(text.as_bytes(), None)
    }

    #[test]
    fn every_field_is_taken() {
        let request = parse(
            r#"{"path": "a.mp4", "task": "reason", "prompt": "Why?", "transcript": "none", "labels": ["a", "b"], "frame": 1.5,
                "prompt_path": "demo", "features": {"hubert": [1, 2]}, "max_new_tokens": 7, "temperature": 0.5, "top_p": 0.8,
                "top_k": 3, "repetition_penalty": 1.2, "seed": 9, "greedy": true, "limits": {"max_bytes": 100}}"#,
        )
        .unwrap();
        assert_eq!(request.question.task, Some(Task::Reason));
        assert_eq!(request.question.prompt.as_deref(), Some("Why?"));
        assert_eq!(request.question.labels.as_ref().unwrap().len(), 2);
        assert_eq!(request.question.prompt_path, Some(PromptPath::Demo));
        let sampling = &request.question.sampling;
        assert_eq!((sampling.max_new_tokens, sampling.top_k, sampling.seed, sampling.greedy), (7, 3, 9, true));
        assert_eq!((sampling.temperature, sampling.top_p, sampling.repetition_penalty), (0.5, 0.8, 1.2));
        assert_eq!(request.transcript, Transcript::None);
        assert_eq!(request.frame, FramePick::At(1.5));
        assert_eq!(request.features.hubert, Some(vec![1.0, 2.0]));
        assert_eq!(request.limits.max_bytes, Some(100));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request = parse(r#"{"path": "a.mp4"}"#).unwrap();
        assert_eq!(request.question.sampling, SamplingOptions::default());
        assert_eq!((request.transcript, request.frame), (Transcript::Auto, FramePick::Peak));
        assert_eq!(request.limits, Limits::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("", "not what is expected"),
            ("[]", "not what is expected"),
            (r#"{"path": "a", "tsk": "emotion"}"#, "tsk"),
            (r#"{"path": "a", "task": "guess"}"#, "guess"),
            (r#"{"path": "a", "temperature": -1}"#, "temperature"),
            (r#"{"path": "a", "temperature": "hot"}"#, "hot"),
            (r#"{"path": "a", "labels": ["x"]}"#, "labels"),
            (r#"{"path": "a", "frame": "last"}"#, "last"),
            (r#"{"path": "a", "frame": -1}"#, "frame is -1"),
            (r#"{"path": "a", "prompt_path": "other"}"#, "other"),
            (r#"{"task": "emotion"}"#, "no clip"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.name(), "invalid_argument", "{text}");
            assert!(error.message.contains(words), "{text}: {error}");
        }
        let both = Request::from_json(br#"{"path": "a"}"#, Some(Source::from(vec![1u8]))).unwrap_err();
        assert!(both.message.contains("one of them"), "{both}");
    }

    #[test]
    fn a_request_about_what_is_there_already_takes_no_file_and_a_question_nothing_of_the_clip() {
        let request =
            ClipRequest::from_json(br#"{"task": "reason", "frame": "first", "transcript": "hello"}"#).unwrap();
        assert_eq!(request.question.task, Some(Task::Reason));
        assert_eq!((request.transcript, request.frame), (Transcript::Text("hello".into()), FramePick::First));
        assert_eq!(Question::from_json(br#"{"prompt": "Why?"}"#).unwrap().prompt.as_deref(), Some("Why?"));
        let refused = [
            (ClipRequest::from_json(br#"{"path": "a.mp4"}"#).map(drop), "a.mp4"),
            (ClipRequest::from_json(br#"{"limits": {"max_bytes": 1}}"#).map(drop), "limits"),
            (Question::from_json(br#"{"path": "a.mp4"}"#).map(drop), "path"),
            (Question::from_json(br#"{"frame": "first"}"#).map(drop), "frame"),
            (Question::from_json(br#"{"transcript": "none"}"#).map(drop), "transcript"),
            (Question::from_json(br#"{"features": {"mae": [1]}}"#).map(drop), "features"),
        ];
        for (outcome, word) in refused {
            let error = outcome.unwrap_err();
            assert!(error.name() == "invalid_argument" && error.message.contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_invalid_argument(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = Request::from_json(&bytes, None) {
                prop_assert_eq!(error.name(), "invalid_argument");
            }
        }
    }
}
