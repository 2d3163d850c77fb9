//! `POST /v1/analyze`

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{header, HeaderMap};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::Json;
use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::event::Label;
use futures_util::Stream;
use serde::Serialize;
use serde_json::{json, Value};

use crate::api::intake;
use crate::api::openapi::schema;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::state::App;
use crate::work::ask::{self, Answer};
use crate::work::job::{Reader, Step, Update};

/// How often a stream that has nothing to tell shows that it lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `POST /v1/analyze`
///
/// One question about one clip: a file of the server, or an upload. With `Accept: text/event-stream` the answer is a stream of the events
/// `stage`, `text`, `result` and `error`.
#[utoipa::path(
    post, path = "/v1/analyze", tag = "v1",
    request_body(content((schema::AnalyzeRequest = "application/json"), (schema::AnalyzeForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The analysis, or the events.", content(
            (schema::Analysis = "application/json"), (String = "text/event-stream"),
        )),
        (status = "4XX", description = "The request or the clip cannot be used.", body = schema::Failure),
        (status = "5XX", description = "Too much to do (503), too long (504), or a defect.", body = schema::Failure),
    )
)]
pub async fn analyze(State(app): State<Arc<App>>, client: Client, request: Request) -> ApiResult<Response> {
    app.engine()?;
    let headers = request.headers().clone();
    let asked = intake::ask(&app, &client, request).await?;
    answer(&headers, ask::answer(&app, asked).await?).await
}

/// The answer in the form that the client wants: events, or the analysis.
///
/// # Errors
/// What the job fails with, where no stream was begun.
pub async fn answer(headers: &HeaderMap, reader: Reader<Answer>) -> ApiResult<Response> {
    if wants_events(headers) {
        let stream = Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
        // A proxy in between must pass on what it gets.
        return Ok(([(header::HeaderName::from_static("x-accel-buffering"), "no")], stream).into_response());
    }
    let analysis = reader.outcome().await?;
    Ok(Json(analysis.as_ref()).into_response())
}

/// Whether `Accept` names an event stream.
pub fn wants_events(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_stream = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
            is_stream && !parts.any(|part| part.eq_ignore_ascii_case("q=0"))
        })
    })
}

fn events(mut reader: Reader<Answer>) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        loop {
            match reader.next().await {
                Step::Rank(_) => {}
                Step::Update(Update::Stage(stage)) => yield Ok(event("stage", &json!({"type": "stage", "stage": stage}))),
                Step::Update(Update::Label(label)) => yield Ok(written("label", &Told::Label(&label))),
                Step::Update(Update::Text(text)) => yield Ok(event("text", &json!({"type": "text", "text": &*text}))),
                Step::Done(Ok(analysis)) => {
                    yield Ok(written("result", &Told::Result { analysis: &analysis }));
                    return;
                }
                Step::Done(Err(error)) => {
                    yield Ok(failure(&error));
                    return;
                }
            }
        }
    }
}

/// The events with numbers. Written as they stand: through a `Value`, the numbers would get the digits of a wider type.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Label(&'a Label),
    Result { analysis: &'a Analysis },
}

fn written(name: &str, told: &Told<'_>) -> Event {
    let written = serde_json::to_string(told).map(|text| Event::default().event(name).data(text));
    written.unwrap_or_else(|error| failure(&ApiError::internal(error)))
}

fn failure(error: &ApiError) -> Event {
    event("error", &error.to_json())
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_given_to_who_asks_for_it() {
        let wants = |accept: &str| wants_events(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect());
        assert!(wants("text/event-stream, application/json") && wants("application/json;q=0.5, Text/Event-Stream;q=1"));
        assert!(!wants("application/json") && !wants("*/*") && !wants("text/event-stream;q=0"));
    }
}
