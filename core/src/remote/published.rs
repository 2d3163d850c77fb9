//! The published servers: Gradio's `/api/predict/` and FastAPI's `/process_video`. They take a file of theirs and a question, and give text.

use serde_json::{json, Value};

use super::client::{Body, Call, Client};
use super::failure;
use super::multipart::{Media, Multipart};
use crate::analysis::{Analysis, AnalysisNote};
use crate::answer::named_label;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::face::FramePick;
use crate::features::ClipFeatures;
use crate::llama::SamplingOptions;
use crate::media::{Limits, Source};
use crate::prompt::published::{asked, LABELS};
use crate::prompt::PromptParts;
use crate::request::{Question, Request, Transcript};

/// What the published function answers, with status 200, when it does not find the file.
const ABSENT: &str = "错误：视频文件不存在。";

/// Which of the published servers it is, with what is known of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Published {
    /// Gradio 4 to 6.
    Gradio {
        /// Empty, or as `/gradio_api`.
        prefix: String,
        /// Name of the function, usually `predict`.
        function: String,
    },
    /// The FastAPI example.
    FastApi,
}

/// The Gradio server that `config`, its answer to `GET /config`, tells of.
pub(super) fn gradio(config: &[u8]) -> Option<(Published, Value)> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let version = config.get("version")?.as_str()?;
    let functions = config.get("dependencies")?.as_array()?;
    let name = |function: &&Value| function.get("api_name").and_then(Value::as_str).is_some_and(is_plain);
    let takes_two =
        |function: &&Value| function.get("inputs").and_then(Value::as_array).is_some_and(|inputs| inputs.len() == 2);
    let named = |wanted: &str| functions.iter().filter(name).find(|function| function["api_name"] == wanted);
    let function = named("predict").or_else(|| functions.iter().filter(name).find(takes_two))?;
    let function = function.get("api_name")?.as_str()?.trim_start_matches('/').to_owned();
    let prefix = config.get("api_prefix").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/');
    let is_path = prefix.is_empty() || (prefix.starts_with('/') && is_plain(prefix));
    if !is_path {
        return None;
    }
    let server = json!({"name": "gradio", "version": version});
    Some((Published::Gradio { prefix: prefix.to_owned(), function }, server))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

/// What is known of a published server.
pub(super) fn info(published: &Published, server: &Value, client: &Client) -> Value {
    let protocol = match published {
        Published::Gradio { .. } => "gradio",
        Published::FastApi => "fastapi",
    };
    json!({
        "protocol": protocol,
        "url": client.address.to_string(),
        "server": server,
        "labels": LABELS,
        "tasks": ["emotion", "reason"],
    })
}

/// Asks about one clip.
pub(super) fn analyze(
    published: &Published,
    client: &Client,
    request: &Request,
    media: Option<Media>,
    cancel: &CancelToken,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Analysis> {
    let deadline = client.deadline();
    let path = match (&request.source, published, media) {
        (_, Published::Gradio { prefix, .. }, Some(media)) => {
            on_event(Event::Stage("upload"));
            let target = format!("{prefix}/upload");
            let form = Body::Form(Multipart::new(&[], "files", media).into());
            let (head, answer) = client.fetch(&Call::post(target.clone(), form), deadline, cancel)?;
            if !head.is_success() {
                return Err(failure::of_answer(&head, &answer, client, &target));
            }
            let paths: Vec<String> = serde_json::from_slice(&answer).unwrap_or_default();
            paths.into_iter().next().ok_or_else(|| {
                Error::unreachable(format!("{} took the clip but did not say where it is", client.address))
            })?
        }
        (Source::Path(path), ..) => path
            .to_str()
            .ok_or_else(|| {
                Error::invalid_argument(format!("the path {} is not UTF-8; rename the file", path.display()))
            })?
            .to_owned(),
        (Source::Bytes(_) | Source::File(_), ..) => {
            return Err(Error::invalid_argument(format!(
                "{} takes no uploads, only paths of its own files; give the path of a file that the server can read",
                client.address
            )))
        }
    };
    on_event(Event::Stage("respond"));
    let prompt = prompt(&request.question);
    let (target, body) = match published {
        Published::Gradio { prefix, function } => {
            (format!("{prefix}/api/{function}/"), json!({"data": [path, prompt]}))
        }
        Published::FastApi => ("/process_video".into(), json!({"video_path": path, "question": prompt})),
    };
    let call = Call::post(target.clone(), Body::Json(body.to_string().into_bytes().into()));
    let (head, answer) = client.fetch(&call, deadline, cancel)?;
    if !head.is_success() {
        return Err(failure::of_answer(&head, &answer, client, &target));
    }
    let text = text(published, &answer, client)?;
    if text.trim() == ABSENT {
        return Err(Error::not_found(format!(
            "{} has no file {path:?}; give a path of the server's machine",
            client.address
        )));
    }
    on_event(Event::Text(&text));
    Ok(analysis(text, request))
}

/// Tag and question, as the published pages write them.
fn prompt(question: &Question) -> String {
    let (task, text) = question.resolve();
    asked(PromptParts { task, question: text, transcript: None, labels: None })
}

fn text(published: &Published, answer: &[u8], client: &Client) -> Result<String> {
    let unexpected = |why: &str| {
        Error::unreachable(format!("the answer of {} is not what the published server gives: {why}", client.address))
    };
    let json: Value = serde_json::from_slice(answer).map_err(|error| unexpected(&error.to_string()))?;
    let text = match published {
        Published::Gradio { .. } => json.get("data").and_then(|data| data.get(0)),
        Published::FastApi => json.get("response"),
    };
    match (text.and_then(Value::as_str), json.get("error")) {
        (Some(text), _) => Ok(text.to_owned()),
        // The FastAPI example says so with status 200.
        (None, Some(Value::String(error))) => Err(Error::internal(match error.trim() {
            "" => format!("{} failed and does not say why", client.address),
            error => format!("{} failed: {error}", client.address),
        })),
        (None, _) => Err(unexpected("it holds no text")),
    }
}

fn analysis(text: String, request: &Request) -> Analysis {
    let labels = LABELS.map(str::to_owned);
    let emotion = named_label(&text, &labels).unwrap_or_default();
    let mut notes = vec![AnalysisNote::new(
        "text_only",
        "this server gives text alone: confidence, probabilities, faces, cues, transcript, token counts and the model's name are not known",
    )];
    notes.push(if emotion.is_empty() {
        AnalysisNote::new("no_label", format!("the answer does not name just one of the labels {}", labels.join(", ")))
    } else {
        AnalysisNote::new("label_from_text", "the emotion is the label that the answer names")
    });
    let ignored = ignored(request);
    if !ignored.is_empty() {
        notes.push(AnalysisNote::new(
            "ignored_option",
            format!("this server takes a clip and a question alone; it was not told {}", ignored.join(", ")),
        ));
    }
    let is_label_alone = text.trim().trim_end_matches('.').eq_ignore_ascii_case(&emotion);
    Analysis {
        explanation: if is_label_alone { String::new() } else { text.trim().to_owned() },
        response: text,
        emotion,
        notes,
        ..Analysis::default()
    }
}

/// Names of the options that are not at their defaults and that such a server has no place for.
fn ignored(request: &Request) -> Vec<&'static str> {
    let (given, usual) = (&request.question.sampling, SamplingOptions::default());
    let options = [
        ("labels", request.question.labels.is_some()),
        ("transcript", request.transcript != Transcript::Auto),
        ("frame", request.frame != FramePick::Peak),
        ("prompt_path", request.question.prompt_path.is_some()),
        ("features", request.features != ClipFeatures::default()),
        ("max_new_tokens", given.max_new_tokens != usual.max_new_tokens),
        ("temperature", given.temperature != usual.temperature),
        ("top_p", given.top_p != usual.top_p),
        ("top_k", given.top_k != usual.top_k),
        ("repetition_penalty", given.repetition_penalty != usual.repetition_penalty),
        ("seed", given.seed != usual.seed),
        ("greedy", given.greedy != usual.greedy),
        ("limits", Limits { max_bytes: None, ..request.limits.clone() } != Limits::default()),
    ];
    options.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_that_of_the_published_pages() {
        let written = |text: &str| prompt(&Question { prompt: Some(text.into()), ..Question::default() });
        assert_eq!(written("[reason] Why?"), "[reason] Why?");
        assert_eq!(written("Where is he?"), "Where is he?");
        assert!(prompt(&Question::default()).starts_with("[emotion] Please determine which emotion label"));
    }

    #[test]
    fn functions_of_gradio_servers() {
        let of = |config: Value| gradio(config.to_string().as_bytes()).map(|(published, _)| published);
        let known =
            |prefix: &str, function: &str| Some(Published::Gradio { prefix: prefix.into(), function: function.into() });
        let two = |name: &str| json!({"api_name": name, "inputs": [0, 1]});
        let one = json!({"api_name": "clear", "inputs": [0]});
        let config = json!({"version": "4.44.1", "dependencies": [one, two("other"), two("predict")]});
        assert_eq!(of(config), known("", "predict"));
        let config = json!({"version": "6.1", "api_prefix": "/gradio_api", "dependencies": [one, two("process_video_question")]});
        assert_eq!(of(config), known("/gradio_api", "process_video_question"));
        for bad in [
            json!({"version": "4", "dependencies": [one]}),
            json!({"version": "4", "dependencies": [two("a b")]}),
            json!({"version": "4", "api_prefix": "//evil/?", "dependencies": [two("predict")]}),
            json!({"dependencies": [two("predict")]}),
            json!([]),
        ] {
            assert_eq!(of(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn every_option_that_is_ignored_is_named() {
        let request = Request {
            question: Question {
                labels: Some(vec!["a".into(), "b".into()]),
                sampling: SamplingOptions { seed: 3, ..SamplingOptions::default() },
                ..Question::default()
            },
            transcript: Transcript::Text("hi".into()),
            ..Request::new("a.mp4")
        };
        assert_eq!(ignored(&request), ["labels", "transcript", "seed"]);
        assert!(ignored(&Request::new("a.mp4")).is_empty());
        let answer = analysis("Happy.".into(), &request);
        assert_eq!((answer.emotion.as_str(), answer.explanation.as_str(), answer.confidence), ("happy", "", None));
    }
}
