//! `POST /v1/chat/completions`, as OpenAI's clients speak it: one clip as a content part of a message, and a question.
//!
//! The clip is inside the request, as a `data:` address; nothing is fetched. The last message of the user is the question. Fields that are not
//! known are passed over, as those clients send many.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request as HttpRequest, State};
use axum::http::header::HeaderName;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::DecodePaddingMode;
use base64::Engine as _;
use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::llama::SamplingOptions;
use emotion_llama_core::request::{Question, Request};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use utoipa::ToSchema;

use super::body::{self, Kind};
use super::published::split;
use super::v1::analyze::KEEP_ALIVE;
use crate::error::{ApiError, ApiResult};
use crate::files::uploads::too_large;
use crate::state::App;
use crate::work::ask::{self, Answer, Ask};
use crate::work::job::{Reader, Step, Update};
use crate::work::sessions::random_id;

/// With or without the signs that fill up the last group.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `/v1/chat/completions`
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/chat/completions", post(completions))
}

/// What is asked.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The model's name, as `GET /v1/models` tells it; without one, the first.
    #[serde(default)]
    model: Option<String>,
    /// The conversation; one message of the user holds the clip.
    messages: Vec<Message>,
    /// Whether the answer comes in pieces.
    #[serde(default)]
    stream: Option<bool>,
    /// What a stream tells besides.
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    /// Most tokens of the answer.
    #[serde(default)]
    max_tokens: Option<usize>,
    /// The newer name of `max_tokens`.
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    /// How freely words are chosen; 0 takes the likeliest.
    #[serde(default)]
    temperature: Option<f32>,
    /// Only the likeliest words that make up this share are chosen from.
    #[serde(default)]
    top_p: Option<f32>,
    /// Seed of the choice.
    #[serde(default)]
    seed: Option<i64>,
    /// How many answers; 1.
    #[serde(default)]
    n: Option<u32>,
}

/// What a stream tells besides.
#[derive(Debug, Clone, Deserialize, ToSchema)]
struct StreamOptions {
    /// Whether the last piece tells how many tokens there were.
    #[serde(default)]
    include_usage: bool,
}

/// A message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
struct Message {
    /// `user`; messages of others are passed over.
    role: String,
    /// Text, or parts.
    #[serde(default)]
    content: Option<Content>,
}

/// Text, or parts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
struct Part {
    /// `text`, `video_url`, `image_url` or `input_audio`.
    r#type: String,
    /// The words.
    #[serde(default)]
    text: Option<String>,
    /// The clip, as `data:video/mp4;base64,…`.
    #[serde(default)]
    video_url: Option<Place>,
    /// The picture, as `data:image/jpeg;base64,…`.
    #[serde(default)]
    image_url: Option<Place>,
    /// The sound.
    #[serde(default)]
    input_audio: Option<Audio>,
}

/// Where a clip is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
enum Place {
    /// As OpenAI's clients write it.
    Object {
        /// A `data:` address.
        url: String,
    },
    /// As some others do.
    Text(String),
}

/// Sound in base64.
#[derive(Debug, Clone, Deserialize, ToSchema)]
struct Audio {
    /// The bytes.
    data: String,
}

/// The answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatResponse {
    id: String,
    /// `chat.completion`
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    #[schema(value_type = Object)]
    usage: Value,
    /// The whole analysis, as `POST /v1/analyze` gives it.
    #[schema(value_type = crate::api::openapi::schema::Analysis)]
    analysis: Analysis,
}

/// An error as OpenAI's clients expect it.
struct ChatError(ApiError);

impl From<ApiError> for ChatError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<emotion_llama_core::Error> for ChatError {
    fn from(error: emotion_llama_core::Error) -> Self {
        Self(error.into())
    }
}

impl ChatError {
    fn to_json(&self) -> Value {
        let error = &self.0;
        let kind = match error.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": error.error, "type": kind, "param": null, "code": error.code.name()}})
    }
}

impl IntoResponse for ChatError {
    fn into_response(self) -> Response {
        let json = Json(self.to_json());
        // Status and headers are those of any error.
        let (parts, _) = self.0.into_response().into_parts();
        let mut response = json.into_response();
        *response.status_mut() = parts.status;
        if let Some(retry) = parts.headers.get(axum::http::header::RETRY_AFTER) {
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, retry.clone());
        }
        response.extensions_mut().extend(parts.extensions);
        response
    }
}

/// `POST /v1/chat/completions`
///
/// OpenAI's chat completions with one clip, picture or sound inside the request as a `data:` address. The last message of the user is the
/// question. Nothing is fetched from other addresses.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai",
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer; with `stream`, pieces of it as events, the last one `[DONE]`.", content(
            (ChatResponse = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = "4XX", description = "`{\"error\": {\"message\", \"type\", \"param\", \"code\"}}`", body = Object),
        (status = "5XX", description = "`{\"error\": {\"message\", \"type\", \"param\", \"code\"}}`", body = Object),
    )
)]
async fn completions(State(app): State<Arc<App>>, request: HttpRequest) -> Result<Response, ChatError> {
    let engine = app.engine()?;
    let (name, default) = (engine.pack().manifest().name.clone(), SamplingOptions::default());
    let (parts, body) = request.into_parts();
    if Kind::of(&parts.headers) != Kind::Json {
        return Err(body::unsupported("application/json").into());
    }
    let limits = &app.config.limits;
    let (text, _memory) = body::read_inline(&app, body).await?;
    let asked: ChatRequest = serde_json::from_slice(&text)
        .map_err(|error| ApiError::invalid(format!("the request is not what is expected: {error}")))?;
    drop(text);
    if asked.model.as_ref().is_some_and(|model| !model.is_empty() && *model != name) {
        let wanted = asked.model.unwrap_or_default();
        return Err(ApiError::not_found(format!("there is no model {wanted:?} here; this server has {name:?}")).into());
    }
    if asked.n.is_some_and(|count| count != 1) {
        return Err(ApiError::invalid("n is not 1; ask once for each answer").into());
    }
    let question = question(&asked.messages);
    let (words, prompt) = split(&question);
    let sampling = SamplingOptions {
        max_new_tokens: asked.max_completion_tokens.or(asked.max_tokens).unwrap_or(default.max_new_tokens),
        temperature: asked.temperature.unwrap_or(default.temperature),
        top_p: asked.top_p.unwrap_or(default.top_p),
        seed: asked.seed.map_or(default.seed, i64::cast_unsigned),
        ..default
    };
    let question =
        Question { prompt: Some(prompt.to_owned()).filter(|text| !text.is_empty()), sampling, ..Question::default() };
    question.validate()?;
    let upload = app.files.uploads.store("clip", clip(&asked.messages, limits.inline_bytes)?).await?;
    let mut request = Request { question, ..Request::new(upload.file()) };
    if let Some(words) = words {
        request.transcript = emotion_llama_core::request::Transcript::Text(words.to_owned());
    }
    let reader = ask::answer(&app, Ask::new(&app, request, Some(upload))).await?;
    let id = format!("chatcmpl-{}", random_id()?);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if asked.stream == Some(true) {
        let with_usage = asked.stream_options.is_some_and(|options| options.include_usage);
        let stream = Sse::new(pieces(reader, Chunk { id, created, model: name }, with_usage));
        let headers = [(HeaderName::from_static("x-accel-buffering"), "no")];
        return Ok((headers, stream.keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response());
    }
    let answer = reader.outcome().await?;
    let message = json!({"role": "assistant", "content": answer.response, "refusal": null});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(&answer)});
    let response = ChatResponse {
        id,
        object: "chat.completion",
        created,
        model: name,
        choices: vec![choice],
        usage: usage(&answer),
        analysis: Arc::unwrap_or_clone(answer),
    };
    Ok(Json(response).into_response())
}

/// The text of the user's last message.
fn question(messages: &[Message]) -> String {
    let last = messages.iter().rev().find(|message| message.role == "user");
    match last.and_then(|message| message.content.as_ref()) {
        None => String::new(),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
            texts.join("\n")
        }
    }
}

/// The bytes of the only clip.
fn clip(messages: &[Message], most: u64) -> ApiResult<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    let parts = messages.iter().filter_map(|message| match &message.content {
        Some(Content::Parts(parts)) => Some(parts),
        _ => None,
    });
    for part in parts.flatten() {
        let encoded = match (part.r#type.as_str(), &part.video_url, &part.image_url, &part.input_audio) {
            ("text", ..) => continue,
            ("video_url", Some(place), ..) | ("image_url", _, Some(place), _) => data(place)?,
            ("input_audio", .., Some(audio)) => &audio.data,
            (kind, ..) => {
                return Err(ApiError::invalid(format!(
                    "a part of type {kind:?} cannot be used; send text, video_url, image_url or input_audio with what belongs to it"
                )))
            }
        };
        if encoded.len() as u64 / 4 * 3 > most.saturating_add(3) {
            return Err(too_large(most));
        }
        let bytes =
            BASE64.decode(encoded).map_err(|error| ApiError::invalid(format!("the clip is not base64: {error}")))?;
        if found.replace(bytes).is_some() {
            return Err(ApiError::invalid("the messages hold more than one clip; send one"));
        }
    }
    found.ok_or_else(|| {
        ApiError::invalid("the messages hold no clip; send one as a part video_url or image_url with a data: address")
    })
}

/// The base64 text of a `data:` address.
fn data(place: &Place) -> ApiResult<&str> {
    let url = match place {
        Place::Object { url } | Place::Text(url) => url.as_str(),
    };
    let scheme = url.get(..5).unwrap_or_default();
    let content = Some(url).filter(|_| scheme.eq_ignore_ascii_case("data:")).and_then(|url| url.split_once(','));
    match content {
        Some((head, content)) if head.to_ascii_lowercase().ends_with(";base64") => Ok(content.trim()),
        _ => Err(ApiError::invalid(
            "this server fetches nothing from addresses; send the clip itself as data:video/mp4;base64,…",
        )),
    }
}

fn finish_reason(answer: &Answer) -> &'static str {
    let is_cut = answer.notes.iter().any(|note| note.name == "answer_cut");
    if is_cut {
        "length"
    } else {
        "stop"
    }
}

fn usage(answer: &Answer) -> Value {
    let usage = &answer.usage;
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    })
}

/// What every piece of a stream says.
struct Chunk {
    id: String,
    created: u64,
    model: String,
}

impl Chunk {
    fn with(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        })
    }

    fn delta(&self, delta: &Value, finish_reason: Option<&str>) -> Event {
        let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        Event::default().data(self.with(&choices).to_string())
    }
}

fn pieces(mut reader: Reader<Answer>, chunk: Chunk, with_usage: bool) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        yield Ok(chunk.delta(&json!({"role": "assistant", "content": ""}), None));
        loop {
            match reader.next().await {
                Step::Rank(_) | Step::Update(Update::Stage(_) | Update::Label(_)) => {}
                Step::Update(Update::Text(text)) => yield Ok(chunk.delta(&json!({"content": &*text}), None)),
                Step::Done(Ok(answer)) => {
                    yield Ok(chunk.delta(&json!({}), Some(finish_reason(&answer))));
                    if with_usage {
                        let mut last = chunk.with(&json!([]));
                        last["usage"] = usage(&answer);
                        yield Ok(Event::default().data(last.to_string()));
                    }
                    break;
                }
                Step::Done(Err(error)) => {
                    yield Ok(Event::default().data(ChatError(error).to_json().to_string()));
                    break;
                }
            }
        }
        yield Ok(Event::default().data("[DONE]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(value: Value) -> Vec<Message> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_clip_and_the_last_question_are_found() {
        let part = json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AQID"}});
        let asked = messages(json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [part, {"type": "text", "text": "Which?"}]},
            {"role": "assistant", "content": "happy"},
            {"role": "user", "content": "Why?"},
        ]));
        assert_eq!((clip(&asked, 3).unwrap(), question(&asked)), (vec![1, 2, 3], "Why?".to_owned()));
        let twice = messages(json!([{"role": "user", "content": [part, part]}]));
        assert!(clip(&twice, 3).unwrap_err().error.contains("more than one"));
        let sound = messages(
            json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AQI", "format": "wav"}}]}]),
        );
        assert_eq!(clip(&sound, 3).unwrap(), [1, 2]);
    }

    #[test]
    fn nothing_is_fetched() {
        for url in [
            "http://127.0.0.1/a.mp4",
            "https://a.example/b",
            "file:///etc/passwd",
            "/etc/passwd",
            "",
            "data:,x",
            "data:video/mp4;base64",
        ] {
            let asked =
                messages(json!([{"role": "user", "content": [{"type": "video_url", "video_url": {"url": url}}]}]));
            assert_eq!(clip(&asked, 100).unwrap_err().code.name(), "invalid_argument", "{url}");
        }
        let large = format!("data:video/mp4;base64,{}", "A".repeat(400));
        let asked = messages(json!([{"role": "user", "content": [{"type": "image_url", "image_url": large}]}]));
        assert_eq!(clip(&asked, 100).unwrap_err().status.as_u16(), 413);
    }
}
