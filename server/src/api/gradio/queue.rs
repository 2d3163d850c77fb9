//! Gradio's queue: a question joins it in one call, and one stream tells of all questions of a session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::Json;
use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use serde::Deserialize;
use serde_json::{json, Value};

use super::messages::{Ended, Message, Output};
use super::progress::{progress, Progress};
use super::{event_stream, BEAT};
use crate::api::published::{self, Refusal};
use crate::api::python;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::state::App;
use crate::work::ask::Answer;
use crate::work::events::{Event, Listener};
use crate::work::job::Reader;

/// How long an event's messages are held back after its join was answered: `gradio_client` 1.x takes in no message of an event whose name it
/// does not know yet, and hangs. Gradio's own server looks for messages every 50 ms; 100 ms failed once with 1.14.0 on a machine under load.
const HOLD: Duration = Duration::from_millis(250);
/// Longest name of a session.
const MAX_SESSION: usize = 128;

/// `POST /queue/join`
pub async fn join(State(app): State<Arc<App>>, client: Client, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = match published::object(&app, &parts.headers, body).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let (session, data) = match (session_of(&asked), published::values(&asked)) {
        (_, Err(refusal)) => return *refusal,
        (Err(refusal), _) => return *refusal,
        (Ok(session), Ok(data)) => (session, data),
    };
    let joined = async {
        let joining = app.events.join(&client, session)?;
        let reader = begin(&app, &client, &parts.headers, data).await?;
        joining.put(reader)
    };
    match joined.await {
        Ok((event, not_before)) => {
            tokio::time::sleep_until(not_before.into()).await;
            Json(json!({"event_id": event})).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// The session that a join is of.
fn session_of(asked: &Value) -> Result<&str, Refusal> {
    let refusal =
        |status: StatusCode, detail: &str| Refusal::from((status, Json(json!({"detail": detail}))).into_response());
    let session = match asked.get("session_hash") {
        Some(Value::String(session)) if !session.is_empty() && session.len() <= MAX_SESSION => session,
        Some(Value::String(session)) if session.len() > MAX_SESSION => {
            return Err(refusal(StatusCode::BAD_REQUEST, "The session hash is too long."));
        }
        None | Some(Value::Null | Value::String(_)) => {
            return Err(refusal(StatusCode::BAD_REQUEST, "Session hash not found."))
        }
        Some(other) => {
            let problem = python::problem(
                "string_type",
                json!(["body", "session_hash"]),
                "Input should be a valid string",
                other,
            );
            return Err(python::unprocessable(vec![problem]).into());
        }
    };
    match asked.get("fn_index") {
        None | Some(Value::Null) => Err(refusal(StatusCode::BAD_REQUEST, "No function index provided.")),
        Some(index) if index.as_u64() == Some(0) => Ok(session),
        Some(index) => {
            let error = ApiError::not_found(format!("there is no function {index}; the only one is 0, /predict"));
            Err(error.into_response().into())
        }
    }
}

/// Begins the answer. What is wrong with the question is told on the stream, where clients expect it; what is wrong with the moment, at once.
///
/// # Errors
/// `overloaded`; `internal`.
pub async fn begin(
    app: &Arc<App>,
    client: &Client,
    headers: &axum::http::HeaderMap,
    data: &[Value],
) -> ApiResult<Reader<Answer>> {
    let begun = match published::arguments(data) {
        Ok((video, question)) => published::begin(app, client, headers, video, question).await,
        Err(error) => Err(error),
    };
    match begun {
        Err(error) if error.status.is_client_error() && error.retry_after.is_none() => {
            Ok(Reader::ended(Vec::new(), Err(error)))
        }
        begun => begun,
    }
}

/// What `GET /queue/data` is asked with.
#[derive(Debug, Deserialize)]
pub struct Session {
    session_hash: Option<String>,
}

/// `GET /queue/data`
pub async fn data(State(app): State<Arc<App>>, client: Client, Query(session): Query<Session>) -> Response {
    let Some(session) = session.session_hash else {
        return python::unprocessable(vec![python::missing(json!(["query", "session_hash"]), &Value::Null)]);
    };
    match app.events.listen(&client, &session) {
        Some(listener) => event_stream(listen(app, listener)),
        None => {
            let error = Message::UnexpectedError { event_id: None, message: "404: Session not found.", success: false };
            event_stream(futures_util::stream::iter([error.line()]))
        }
    }
}

/// A piece of a session's stream, and whether it is the last one of its event.
type Piece = (String, bool);

fn listen(app: Arc<App>, listener: Listener) -> impl futures_util::Stream<Item = String> + Send {
    async_stream::stream! {
        let mut events: SelectAll<BoxStream<'static, Piece>> = SelectAll::new();
        let mut running = 0usize;
        let mut beat = tokio::time::interval(BEAT);
        beat.reset();
        loop {
            for event in listener.take() {
                running += 1;
                events.push(tell(Arc::clone(&app), event).boxed());
            }
            tokio::select! {
                biased;
                Some((text, is_last)) = events.next(), if running > 0 => {
                    running -= usize::from(is_last);
                    if running == 0 && listener.close() {
                        // In one piece: a client that has read the one and not the other would join a stream that ends.
                        yield text + &Message::CloseStream { event_id: None }.line();
                        return;
                    }
                    yield text;
                }
                () = listener.changed() => {
                    if running == 0 && listener.close() {
                        yield Message::CloseStream { event_id: None }.line();
                        return;
                    }
                }
                _ = beat.tick() => yield Message::Heartbeat { event_id: None }.line(),
            }
        }
    }
}

/// The messages of one event.
fn tell(app: Arc<App>, event: Event) -> impl futures_util::Stream<Item = Piece> + Send {
    async_stream::stream! {
        tokio::time::sleep_until((event.joined + HOLD).into()).await;
        let id = event.id.clone();
        let mut has_text = false;
        let mut steps = std::pin::pin!(progress(Arc::clone(&app), event));
        while let Some(step) = steps.next().await {
            let eta = app.queue.snapshot().mean_s;
            let (message, is_last) = match &step {
                Progress::Waits(rank) => {
                    let queue_size = app.queue.snapshot().waiting.max(rank + 1);
                    let rank_eta = eta.map(|eta| eta * (rank + 1) as f64);
                    (Message::Estimation { event_id: Some(&id), rank: Some(*rank), queue_size, rank_eta }, false)
                }
                Progress::Starts => (Message::ProcessStarts { event_id: &id, eta }, false),
                Progress::Grows { piece, whole, duration } => {
                    let is_first = !std::mem::replace(&mut has_text, true);
                    let data = if is_first { json!(whole) } else { json!([["append", [], piece]]) };
                    let output = Output::piece(data, *duration, app.durations.mean());
                    (Message::ProcessGenerating { event_id: &id, output, success: true }, false)
                }
                Progress::Answers { output, .. } => {
                    (Message::ProcessCompleted { event_id: &id, output: Ended::Answered(output.clone()), success: true }, true)
                }
                Progress::Fails(error) => {
                    (Message::ProcessCompleted { event_id: &id, output: Ended::Failed { error: &error.error }, success: false }, true)
                }
                Progress::Stops => {
                    (Message::ProcessCompleted { event_id: &id, output: Ended::Stopped {}, success: true }, true)
                }
            };
            yield (message.line(), is_last);
        }
    }
}

/// `GET /queue/status`
pub async fn status(State(app): State<Arc<App>>) -> Json<Value> {
    let queue = app.queue.snapshot();
    let rank_eta = queue.mean_s.map(|mean| mean * (queue.waiting + 1) as f64);
    let message = Message::Estimation { event_id: None, rank: None, queue_size: queue.waiting, rank_eta };
    Json(serde_json::to_value(message).unwrap_or_default())
}

/// `POST /cancel`
pub async fn cancel(app: State<Arc<App>>, client: Client, request: Request) -> Response {
    stop(app, client, request).await
}

/// `POST /reset`: what a client does after a cancel, or instead of one.
pub async fn reset(app: State<Arc<App>>, client: Client, request: Request) -> Response {
    stop(app, client, request).await
}

async fn stop(State(app): State<Arc<App>>, client: Client, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = match published::object(&app, &parts.headers, body).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    match asked.get("event_id") {
        Some(Value::String(event)) => {
            // One that has ended, or never was, is stopped already.
            app.events.stop(&client, event);
            Json(json!({"success": true})).into_response()
        }
        None => python::unprocessable(vec![python::missing(json!(["body", "event_id"]), &asked)]),
        Some(other) => {
            let problem =
                python::problem("string_type", json!(["body", "event_id"]), "Input should be a valid string", other);
            python::unprocessable(vec![problem])
        }
    }
}
