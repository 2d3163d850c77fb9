//! A request to JSON, as [`Request::from_json`] reads it.

use serde_json::{json, Map, Value};

use super::{Question, Request, Transcript};
use crate::error::{Error, Result};
use crate::face::FramePick;
use crate::llama::SamplingOptions;
use crate::media::{Limits, Source};
use crate::prompt::published::PromptPath;

impl Request {
    /// The request as the JSON object that [`Request::from_json`] takes: `path` where the clip is a path, and what differs from its default.
    ///
    /// # Errors
    /// `invalid_argument` naming the value that JSON has no form for: a path that is not UTF-8, a number that is not finite.
    pub fn to_json(&self) -> Result<Value> {
        let mut object = self.question.fields()?;
        if let Source::Path(path) = &self.source {
            let text = path.to_str().ok_or_else(|| {
                Error::invalid_argument(format!("the path {} is not UTF-8; give the clip's bytes", path.display()))
            })?;
            object.insert("path".into(), text.into());
        }
        match &self.transcript {
            Transcript::Auto => {}
            Transcript::None => drop(object.insert("transcript".into(), "none".into())),
            Transcript::Text(text) => {
                // These two words have a meaning of their own; a space more is none.
                let text = if text == "auto" || text == "none" { format!("{text} ") } else { text.clone() };
                object.insert("transcript".into(), text.into());
            }
        }
        let frame = match self.frame {
            FramePick::Peak => None,
            FramePick::First => Some(json!("first")),
            FramePick::Middle => Some(json!("middle")),
            FramePick::At(seconds) => Some(number("frame", seconds)?),
        };
        object.extend(frame.map(|frame| ("frame".to_owned(), frame)));
        let mut features = Map::new();
        let given = &self.features;
        for (encoder, values) in [("mae", &given.mae), ("videomae", &given.videomae), ("hubert", &given.hubert)] {
            let Some(values) = values else { continue };
            let values = values.iter().map(|value| single(encoder, *value)).collect::<Result<Vec<_>>>()?;
            features.insert(encoder.into(), values.into());
        }
        let mut limits = Map::new();
        let (wanted, usual) = (&self.limits, Limits::default());
        if wanted.max_duration_s != usual.max_duration_s {
            // JSON has no infinity.
            limits.insert("max_duration_s".into(), number("max_duration_s", wanted.max_duration_s.min(f64::MAX))?);
        }
        if wanted.max_pixels != usual.max_pixels {
            limits.insert("max_pixels".into(), wanted.max_pixels.into());
        }
        if wanted.max_streams != usual.max_streams {
            limits.insert("max_streams".into(), wanted.max_streams.into());
        }
        if let Some(bytes) = wanted.max_bytes {
            limits.insert("max_bytes".into(), bytes.into());
        }
        for (name, values) in [("features", features), ("limits", limits)] {
            if !values.is_empty() {
                object.insert(name.into(), values.into());
            }
        }
        Ok(object.into())
    }
}

impl Question {
    /// The question as the JSON object that [`Question::from_json`] takes: what differs from its default.
    ///
    /// # Errors
    /// `invalid_argument` naming the number that is not finite.
    pub fn to_json(&self) -> Result<Value> {
        self.fields().map(Value::from)
    }

    fn fields(&self) -> Result<Map<String, Value>> {
        let (sampling, usual) = (&self.sampling, SamplingOptions::default());
        let changed = |name, value: f32, usual: f32| (value != usual).then(|| single(name, value)).transpose();
        let path = self.prompt_path.map(|path| match path {
            PromptPath::Train => "train",
            PromptPath::Eval => "eval",
            PromptPath::Demo => "demo",
        });
        let fields = [
            ("task", self.task.map(|task| task.name().into())),
            ("prompt", self.prompt.as_deref().map(Value::from)),
            ("labels", self.labels.as_deref().map(Value::from)),
            ("prompt_path", path.map(Value::from)),
            ("max_new_tokens", Some(sampling.max_new_tokens).filter(|n| *n != usual.max_new_tokens).map(Value::from)),
            ("temperature", changed("temperature", sampling.temperature, usual.temperature)?),
            ("top_p", changed("top_p", sampling.top_p, usual.top_p)?),
            ("top_k", Some(sampling.top_k).filter(|n| *n != usual.top_k).map(Value::from)),
            (
                "repetition_penalty",
                changed("repetition_penalty", sampling.repetition_penalty, usual.repetition_penalty)?,
            ),
            ("seed", Some(sampling.seed).filter(|n| *n != usual.seed).map(Value::from)),
            ("greedy", Some(sampling.greedy).filter(|on| *on != usual.greedy).map(Value::from)),
        ];
        Ok(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

/// `value` as a JSON number.
fn number(name: &str, value: f64) -> Result<Value> {
    serde_json::Number::from_f64(value)
        .map(Value::Number)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is {value}; give a finite number")))
}

/// `value` as the JSON number with the fewest digits that is read as it again.
fn single(name: &str, value: f32) -> Result<Value> {
    number(name, if value.is_finite() { value.to_string().parse().unwrap_or(f64::from(value)) } else { value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::ClipFeatures;
    use crate::prompt::Task;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Request> {
        Request::from_json(text.as_bytes(), None)
    }

    /// Times that JSON's reader gives back to the last bit.
    fn seconds() -> impl Strategy<Value = f64> {
        (0u32..1_000_000).prop_map(|eighths| f64::from(eighths) / 8.0)
    }

    fn question() -> impl Strategy<Value = Question> {
        let task = prop_oneof![Just(None), Just(Some(Task::Emotion)), Just(Some(Task::Reason)), Just(Some(Task::Free))];
        let path = prop_oneof![Just(None), Just(Some(PromptPath::Train)), Just(Some(PromptPath::Demo))];
        let labels = proptest::option::of(proptest::collection::hash_set("[a-zé\"]{1,8}", 2..6));
        let numbers = (1..2000usize, 0f32..9.0, 0.001f32..1.0, 0..99usize, 0.5f32..2.0, any::<u64>(), any::<bool>());
        (task, proptest::option::of("\\PC{0,40}"), labels, path, numbers).prop_map(
            |(task, prompt, labels, prompt_path, numbers)| Question {
                task,
                prompt,
                labels: labels.map(|labels| labels.into_iter().collect()),
                prompt_path,
                sampling: SamplingOptions {
                    max_new_tokens: numbers.0,
                    temperature: numbers.1,
                    top_p: numbers.2,
                    top_k: numbers.3,
                    repetition_penalty: numbers.4,
                    seed: numbers.5,
                    greedy: numbers.6,
                },
            },
        )
    }

    fn request() -> impl Strategy<Value = Request> {
        let transcript = prop_oneof![
            Just(Transcript::Auto),
            Just(Transcript::None),
            "\\PC{1,30}"
                .prop_filter("words of their own", |text| text != "auto" && text != "none")
                .prop_map(Transcript::Text)
        ];
        let frame = prop_oneof![
            Just(FramePick::Peak),
            Just(FramePick::First),
            Just(FramePick::Middle),
            seconds().prop_map(FramePick::At)
        ];
        let feature = || proptest::option::of(proptest::collection::vec(-9f32..9.0, 0..5));
        let limits = (seconds(), any::<u64>(), any::<usize>(), proptest::option::of(any::<u64>()));
        (question(), transcript, frame, (feature(), feature(), feature()), limits, "\\PC{1,20}").prop_map(
            |(question, transcript, frame, (mae, videomae, hubert), limits, path)| Request {
                question,
                transcript,
                frame,
                limits: Limits {
                    max_duration_s: limits.0,
                    max_pixels: limits.1,
                    max_streams: limits.2,
                    max_bytes: limits.3,
                },
                features: ClipFeatures { mae, videomae, hubert },
                ..Request::new(path.as_str())
            },
        )
    }

    #[test]
    fn defaults_are_not_written_and_two_words_keep_their_meaning() {
        assert_eq!(Request::new("a.mp4").to_json().unwrap(), json!({"path": "a.mp4"}));
        assert_eq!(Request::new(vec![1u8]).to_json().unwrap(), json!({}));
        assert_eq!(Question::default().to_json().unwrap(), json!({}));
        let words = Request { transcript: Transcript::Text("none".into()), ..Request::new("a") };
        let again = parse(&words.to_json().unwrap().to_string()).unwrap();
        assert_eq!(again.transcript, Transcript::Text("none ".into()));
        let endless = Limits { max_duration_s: f64::INFINITY, ..Limits::default() };
        let again = parse(&Request { limits: endless, ..Request::new("a") }.to_json().unwrap().to_string()).unwrap();
        assert_eq!(again.limits.max_duration_s, f64::MAX);
        let nan = ClipFeatures { mae: Some(vec![f32::NAN]), ..ClipFeatures::default() };
        let error = Request { features: nan, ..Request::new("a") }.to_json().unwrap_err();
        assert!(error.name() == "invalid_argument" && error.message.contains("mae"), "{error}");
    }

    proptest! {
        #[test]
        fn a_request_is_read_from_its_own_json(request in request()) {
            let text = request.to_json().unwrap().to_string();
            prop_assert_eq!(format!("{:?}", parse(&text).unwrap()), format!("{request:?}"), "{}", text);
            let question = request.question.to_json().unwrap().to_string();
            let again = Question::from_json(question.as_bytes()).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", request.question));
        }
    }
}
