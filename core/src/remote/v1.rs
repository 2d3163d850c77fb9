//! Our own server's API, version 1: docs/http-v1.md.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{json, Value};
use ureq::http::Method;

use super::client::{Body, Call, Client, Head};
use super::exchange::Flow;
use super::failure;
use super::multipart::{Media, Multipart};
use super::sse::{EventParser, ServerEvent};
use crate::analysis::Analysis;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::media::Source;
use crate::request::{Question, Request};

/// The version of the API that is spoken, before the point.
const MAJOR: &str = "1";
/// The stages that a server may name.
const STAGES: [&str; 3] = ["decode", "observe", "respond"];
const MODELS: &str = "/v1/models";

/// What the server says of its models, if the answer to [`models_call`] is that of such a server.
///
/// # Errors
/// `unreachable` for another version of the API.
pub(super) fn recognise(head: &Head, body: &[u8], client: &Client) -> Result<Option<Value>> {
    let Some(version) = head.api_version.as_deref().filter(|_| head.is_success()) else { return Ok(None) };
    let Ok(models) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
    let Some(list) = models.get("data").and_then(Value::as_array) else { return Ok(None) };
    if version.split('.').next() != Some(MAJOR) {
        return Err(Error::unreachable(format!(
            "{} speaks version {version} of the API, this release version {MAJOR}; use releases that fit",
            client.address
        )));
    }
    let of_first = |field: &str| list.first().and_then(|model| model.get(field)).cloned().unwrap_or(Value::Null);
    Ok(Some(json!({
        "protocol": "v1",
        "url": client.address.to_string(),
        "api_version": version,
        "pack": {
            "name": of_first("id"),
            "version": of_first("version"),
            "digest": of_first("digest"),
            "architecture": of_first("architecture"),
        },
        "labels": of_first("labels"),
        "tasks": of_first("tasks"),
        "devices": of_first("devices"),
        "models": list,
    })))
}

/// The call whose answer tells such a server.
pub(super) fn models_call() -> Call {
    Call::get(MODELS)
}

/// Asks about one clip: `media`, or the server's file that the request names.
pub(super) fn analyze(
    client: &Client,
    request: &Request,
    media: Option<Media>,
    cancel: &CancelToken,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Analysis> {
    if media.is_some() {
        on_event(Event::Stage("upload"));
    }
    ask(client, "/v1/analyze".into(), body(request, media)?, cancel, on_event)
}

/// Opens a session about one clip; gives its name.
pub(super) fn open_session(
    client: &Client,
    request: &Request,
    media: Option<Media>,
    cancel: &CancelToken,
) -> Result<String> {
    let target = "/v1/sessions";
    let call = Call::post(target.into(), body(request, media)?);
    let (head, answer) = client.fetch(&call, client.deadline(), cancel)?;
    if !head.is_success() {
        return Err(failure::of_answer(&head, &answer, client, target));
    }
    let json: Option<Value> = serde_json::from_slice(&answer).ok();
    let id = json.as_ref().and_then(|json| json.get("id")?.as_str());
    // It becomes a part of paths.
    let is_plain = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    id.filter(is_plain).map(str::to_owned).ok_or_else(|| {
        Error::unreachable(format!("{} gave no name for a session; is it of another release?", client.address))
    })
}

/// Asks the session `id`.
pub(super) fn ask_session(
    client: &Client,
    id: &str,
    question: &Question,
    cancel: &CancelToken,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Analysis> {
    let body = Body::Json(question.to_json()?.to_string().into_bytes().into());
    ask(client, format!("/v1/sessions/{id}/ask"), body, cancel, on_event)
}

/// Makes the session `id` forget what was asked.
pub(super) fn reset_session(client: &Client, id: &str, cancel: &CancelToken) -> Result<()> {
    let target = format!("/v1/sessions/{id}/reset");
    let call = Call::post(target.clone(), Body::Empty);
    let (head, answer) = client.fetch(&call, client.deadline(), cancel)?;
    if head.is_success() {
        Ok(())
    } else {
        Err(failure::of_answer(&head, &answer, client, &target))
    }
}

/// Ends the session `id`.
pub(super) fn close_session(client: &Client, id: &str, deadline: Instant) -> Result<()> {
    let call = Call { method: Method::DELETE, ..Call::get(&format!("/v1/sessions/{id}")) };
    client.fetch(&call, deadline, &CancelToken::new()).map(drop)
}

fn body(request: &Request, media: Option<Media>) -> Result<Body> {
    let Some(media) = media else {
        return Ok(Body::Json(request.to_json()?.to_string().into_bytes().into()));
    };
    let beside = Request { source: Source::Bytes(Arc::new([])), ..request.clone() };
    let json = beside.to_json()?.to_string();
    Ok(Body::Form(Arc::new(Multipart::new(&[("request", &json)], "media", media))))
}

/// Posts `body` and reads the answer: events, or an analysis as it stands.
fn ask(
    client: &Client,
    target: String,
    body: Body,
    cancel: &CancelToken,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Analysis> {
    let call = Call { accept: "text/event-stream, application/json", ..Call::post(target, body) };
    let mut events = EventParser::default();
    let mut found = None;
    let mut whole = Vec::new();
    let head = client.exchange(&call, client.deadline(), cancel, &mut |head, piece| {
        if !head.is_success() || head.content_type != "text/event-stream" {
            whole.extend_from_slice(piece);
            return Ok(Flow::More);
        }
        for event in events.push(piece) {
            if let Some(analysis) = take(&event, client, on_event)? {
                found = Some(analysis);
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    })?;
    if let Some(analysis) = found {
        return Ok(analysis);
    }
    if !head.is_success() {
        return Err(failure::of_answer(&head, &whole, client, &call.target));
    }
    if head.content_type == "text/event-stream" {
        return Err(Error::unreachable(format!(
            "{} ended its answer before the result; it may have been stopped",
            client.address
        )));
    }
    let json = serde_json::from_slice(&whole).map_err(|error| unexpected(client, &error.to_string()))?;
    analysis(json, client)
}

/// Passes an event on; gives the analysis when it is the last one.
fn take(
    event: &ServerEvent,
    client: &Client,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Option<Analysis>> {
    let mut json: Value =
        serde_json::from_str(&event.data).map_err(|error| unexpected(client, &format!("an event: {error}")))?;
    let told = json.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = if event.name.is_empty() { told } else { &event.name };
    match kind {
        "stage" => {
            let stage = json.get("stage").and_then(Value::as_str);
            // A stage of a later release is passed over.
            if let Some(stage) = STAGES.into_iter().find(|known| stage == Some(known)) {
                on_event(Event::Stage(stage));
            }
        }
        "label" => {
            // A label that a later release tells in another way is passed over: the result holds it too.
            if let Ok(label) = serde_json::from_str(&event.data) {
                on_event(Event::Label(&label));
            }
        }
        "text" => {
            if let Some(text) = json.get("text").and_then(Value::as_str) {
                on_event(Event::Text(text));
            }
        }
        "result" => {
            let result = json.get_mut("analysis").map(Value::take).unwrap_or_default();
            return analysis(result, client).map(Some);
        }
        "error" => return Err(failure::of_json(&json, client)),
        _ => {}
    }
    Ok(None)
}

fn analysis(json: Value, client: &Client) -> Result<Analysis> {
    if !json.get("emotion").is_some_and(Value::is_string) || !json.get("response").is_some_and(Value::is_string) {
        return Err(unexpected(client, "it holds no emotion and response"));
    }
    serde_json::from_value(json).map_err(|error| unexpected(client, &error.to_string()))
}

fn unexpected(client: &Client, why: &str) -> Error {
    Error::unreachable(format!("the answer of {} is no analysis ({why}); is it of another release?", client.address))
}
