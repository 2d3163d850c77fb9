//! The published servers' documented calls: `POST /api/predict/` of Gradio's, `POST /process_video` of FastAPI's.
//!
//! What they take and give is theirs, byte for byte in shape. Where the recorded servers and the documented table of errors differ (an absent
//! file is 200 with a sentence there), the table wins.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use emotion_llama_core::media::Source;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{Question, Request, Transcript};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use utoipa::ToSchema;

use super::body::{self, Kind};
use super::openapi::schema;
use super::python::{self, missing, problem, unprocessable};
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::files::uploads::Share;
use crate::state::App;
use crate::work::ask::{self, Answer, Ask};
use crate::work::job::Reader;

/// What stands before the words in the documented prompts.
const SAYS: &str = "The person in video says:";
/// Shortest text that is looked at as a picture.
const LEAST_PICTURE: usize = 64;

/// Both servers' calls.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/predict/", post(predict))
        .route("/api/predict", post(predict))
        .route("/run/predict/", post(predict))
        .route("/run/predict", post(predict))
        .route("/process_video", post(process_video))
        .route("/process_video/", post(process_video))
}

/// What `POST /process_video` takes.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct VideoQuestionRequest {
    /// A file of the server.
    pub video_path: String,
    /// The question; may begin with `[emotion]` or `[reason]`.
    pub question: String,
}

/// What `POST /process_video` gives.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VideoResponse {
    /// The answer.
    pub response: String,
}

/// A body that cannot be used: the answer to it.
pub type Refusal = Box<Response>;

/// `POST /process_video`
///
/// The published FastAPI server's call.
#[utoipa::path(
    post, path = "/process_video", tag = "published",
    request_body = VideoQuestionRequest,
    responses(
        (status = 200, description = "The answer.", body = VideoResponse),
        (status = 422, description = "The body is not what is expected.", body = schema::HTTPValidationError),
        (status = "4XX", description = "The video is not there (404) or cannot be used.", body = schema::Failure),
        (status = "5XX", description = "Too much to do (503), too long (504), or a defect.", body = schema::Failure),
    )
)]
pub async fn process_video(State(app): State<Arc<App>>, client: Client, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let value = match object(&app, &parts.headers, body).await {
        Ok(value) => value,
        Err(refusal) => return *refusal,
    };
    let mut problems = Vec::new();
    for name in ["video_path", "question"] {
        match value.get(name) {
            None => problems.push(missing(json!(["body", name]), &value)),
            Some(Value::String(_)) => {}
            Some(other) => {
                problems.push(problem("string_type", json!(["body", name]), "Input should be a valid string", other));
            }
        }
    }
    if !problems.is_empty() {
        return unprocessable(problems);
    }
    let outcome =
        async { begin(&app, &client, &parts.headers, &value["video_path"], &value["question"]).await?.outcome().await };
    match outcome.await {
        Ok(answer) => Json(VideoResponse { response: answer.response.clone() }).into_response(),
        Err(error) => error.into_response(),
    }
}

/// `POST /api/predict/`
///
/// The published Gradio server's call.
#[utoipa::path(
    post, path = "/api/predict/", tag = "published",
    request_body = schema::PredictRequest,
    responses(
        (status = 200, description = "The answer.", body = schema::PredictResponse),
        (status = 422, description = "The body is not what is expected.", body = schema::HTTPValidationError),
        (status = "4XX", description = "The video is not there (404) or cannot be used.", body = schema::Failure),
        (status = "5XX", description = "Too much to do (503), too long (504), or a defect.", body = schema::Failure),
    )
)]
pub async fn predict(State(app): State<Arc<App>>, client: Client, request: HttpRequest) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let value = match object(&app, &parts.headers, body).await {
        Ok(value) => value,
        Err(refusal) => return *refusal,
    };
    let data = match value.get("data") {
        None => return unprocessable(vec![missing(json!(["body", "data"]), &value)]),
        Some(Value::Array(data)) => data,
        Some(other) => {
            return unprocessable(vec![problem(
                "list_type",
                json!(["body", "data"]),
                "Input should be a valid list",
                other,
            )])
        }
    };
    let [video, question, ..] = data.as_slice() else {
        return ApiError::invalid(format!("data has {} values; give two: a path and a question", data.len()))
            .into_response();
    };
    let outcome = async { begin(&app, &client, &parts.headers, video, question).await?.outcome().await };
    match outcome.await {
        Ok(answer) => Json(output(&app, &answer, began)).into_response(),
        Err(error) => error.into_response(),
    }
}

/// The values that the body of a call of Gradio's has, or FastAPI's answer to one that has none.
///
/// # Errors
/// The answer.
pub fn values(body: &Value) -> Result<&[Value], Refusal> {
    match body.get("data") {
        Some(Value::Array(data)) => Ok(data),
        None => Err(unprocessable(vec![missing(json!(["body", "data"]), body)]).into()),
        Some(other) => {
            let problem = problem("list_type", json!(["body", "data"]), "Input should be a valid list", other);
            Err(unprocessable(vec![problem]).into())
        }
    }
}

/// The two that are wanted; further ones are passed over, as Gradio does.
///
/// # Errors
/// `invalid_argument` when there are fewer.
pub fn arguments(data: &[Value]) -> ApiResult<(&Value, &Value)> {
    match data {
        [video, question, ..] => Ok((video, question)),
        _ => Err(ApiError::invalid(format!("data has {} values; give two: a path and a question", data.len()))),
    }
}

/// What Gradio gives for an answer to a call that began then.
pub fn output(app: &App, answer: &Answer, began: Instant) -> Value {
    let duration = began.elapsed().as_secs_f64();
    json!({
        "data": [answer.response],
        "is_generating": false,
        "duration": duration,
        "average_duration": app.durations.add(duration),
        "render_config": null,
        "changed_state_ids": [],
    })
}

/// Begins to answer `question` about `video`: a path, an upload as Gradio's clients write one, or a picture in base64.
///
/// # Errors
/// `invalid_argument`, `not_found`, `overloaded`.
pub async fn begin(
    app: &Arc<App>,
    client: &Client,
    headers: &HeaderMap,
    video: &Value,
    question: &Value,
) -> ApiResult<Reader<Answer>> {
    app.engine()?;
    let text = match question {
        Value::Null => String::new(),
        other => python::str(other),
    };
    let (words, prompt) = split(&text);
    let (source, upload) = match video {
        Value::Null => return Err(ApiError::invalid("no video is given; give a path")),
        other => {
            let path = match other.get("path") {
                Some(Value::String(path)) => path.clone(),
                _ => python::str(other),
            };
            match picture(&path) {
                Some(bytes) => {
                    let upload = app.files.uploads.store("picture", bytes).await?;
                    (Source::from(upload.file()), Some(upload))
                }
                None => {
                    let found = app.files.find(&path, client, headers)?;
                    (Source::from(found.file), found.upload)
                }
            }
        }
    };
    let request = Request {
        question: Question {
            prompt: Some(prompt.to_owned()).filter(|prompt| !prompt.is_empty()),
            ..Question::default()
        },
        transcript: words.map_or(Transcript::Auto, |words| Transcript::Text(words.to_owned())),
        ..Request::new(source)
    };
    request.question.validate()?;
    ask::answer(app, Ask::new(app, request, upload)).await
}

/// Words and question of a documented prompt: `The person in video says: WORDS [TAG] QUESTION`. Any other text is the question alone.
pub fn split(text: &str) -> (Option<&str>, &str) {
    let text = text.trim();
    let Some(said) = text.strip_prefix(SAYS) else { return (None, text) };
    let tags = said.match_indices('[').map(|(at, _)| at);
    let Some(at) = tags.into_iter().find(|at| Task::split_tag(&said[*at..]).0.is_some()) else { return (None, text) };
    let words = said[..at].trim();
    (Some(words).filter(|words| !words.is_empty()), &said[at..])
}

/// The picture that `text` is in base64, as upstream's `infer_api.py` sends one.
fn picture(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() < LEAST_PICTURE {
        return None;
    }
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(plain).ok()?;
    let is_picture = matches!(
        bytes.as_slice(),
        [0xff, 0xd8, 0xff, ..]
            | [0x89, b'P', b'N', b'G', ..]
            | [b'G', b'I', b'F', b'8', ..]
            | [b'B', b'M', ..]
            | [b'R', b'I', b'F', b'F', ..]
    );
    is_picture.then_some(bytes)
}

/// The JSON object that a body is, and the memory that it takes.
#[derive(Debug)]
pub struct Object {
    value: Value,
    _memory: Share,
}

impl std::ops::Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// The JSON object that the body is, or FastAPI's answer to what is none.
///
/// # Errors
/// The answer.
pub async fn object(app: &App, headers: &HeaderMap, body: Body) -> Result<Object, Refusal> {
    let (bytes, memory) = body::read_inline(app, body).await.map_err(|error| error.into_response())?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        let answer = (StatusCode::BAD_REQUEST, Json(json!({"detail": "There was an error parsing the body"})));
        return Err(answer.into_response().into());
    };
    if text.is_empty() {
        return Err(unprocessable(vec![missing(json!(["body"]), &Value::Null)]).into());
    }
    let value = match Kind::of(headers) {
        Kind::Json | Kind::Unsaid => serde_json::from_str(text).map_err(|_| python::invalid_json(text))?,
        Kind::Form | Kind::Other => Value::String(text.to_owned()),
    };
    if value.is_object() {
        return Ok(Object { value, _memory: memory });
    }
    let message = "Input should be a valid dictionary or object to extract fields from";
    Err(unprocessable(vec![problem("model_attributes_type", json!(["body"]), message, &value)]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_prompts_are_words_and_a_question() {
        assert_eq!(
            split("The person in video says: Won't you? Impossible! [reason] Which emotion does this reflect?"),
            (Some("Won't you? Impossible!"), "[reason] Which emotion does this reflect?")
        );
        assert_eq!(split("The person in video says: . [x] a [emotion] b"), (Some(". [x] a"), "[emotion] b"));
        assert_eq!(split(" [emotion] Which?"), (None, "[emotion] Which?"));
        assert_eq!(split("The person in video says: hello"), (None, "The person in video says: hello"));
        assert_eq!(split(""), (None, ""));
    }

    #[test]
    fn pictures_are_told_from_paths() {
        let encoded =
            base64::engine::general_purpose::STANDARD.encode([&[0xff, 0xd8, 0xff, 0xe0][..], &[7; 100]].concat());
        assert!(picture(&encoded).is_some() && picture(&format!("{}\n{}", &encoded[..76], &encoded[76..])).is_some());
        let text = base64::engine::general_purpose::STANDARD.encode([b'a'; 100]);
        assert!(picture(&text).is_none() && picture("/9j/4AAQ").is_none() && picture(&"/a".repeat(50)).is_none());
    }
}
