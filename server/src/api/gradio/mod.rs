//! Gradio's protocol, so that `gradio_client` and `@gradio/client` work unmodified: the documents that they read first, the queue with its event
//! stream, the call in two steps, and uploads.
//!
//! All of it is answered without a prefix, as Gradio 4 does, and below `/gradio_api`, as later ones do. The configuration names no prefix and no
//! address: clients of every generation then stay with the address that they were given.
//!
//! Where this server differs from Gradio's: an unknown function is 404 instead of 500; a question that cannot be used has its reason in the error,
//! as with Gradio's `show_error`; an event that was read already is an error, not a stream without end; a trailing slash is answered and not
//! redirected; a stream that its client leaves, or opens for the first time after half a minute, stops what is computed for it.

mod call;
mod documents;
mod files;
mod messages;
mod progress;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::Router;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::published;
use crate::state::App;

/// What Gradio's later versions put before all of it.
const PREFIX: &str = "/gradio_api";
/// What the one function is called.
const FUNCTION: &str = "predict";
/// Between two signs of life on a stream.
const BEAT: Duration = Duration::from_secs(15);

/// Its paths.
pub fn routes() -> Router<Arc<App>> {
    let direct = ["/api/predict/", "/api/predict", "/run/predict/", "/run/predict"];
    let later = direct.into_iter().fold(paths(), |paths, path| paths.route(path, post(published::predict)));
    paths().nest(PREFIX, later)
}

fn paths() -> Router<Arc<App>> {
    Router::new()
        .route("/config", get(documents::config))
        .route("/config/", get(documents::config))
        .route("/info", get(documents::info))
        .route("/info/", get(documents::info))
        .route("/startup-events", get(documents::startup_events))
        .route("/heartbeat/{session}", get(heartbeat))
        .route("/queue/join", post(queue::join))
        .route("/queue/join/", post(queue::join))
        .route("/queue/data", get(queue::data))
        .route("/queue/status", get(queue::status))
        .route("/cancel", post(queue::cancel))
        .route("/reset", post(queue::reset))
        .route("/call/{function}", post(call::begin))
        .route("/call/{function}/", post(call::begin))
        .route("/call/{function}/{event}", get(call::events))
        .route("/call/{function}/{event}/", get(call::events))
        .route("/upload", post(files::upload).layer(DefaultBodyLimit::disable()))
        .route("/file={*path}", get(files::file))
}

/// `GET /heartbeat/{session}`: shows the client that the server is there, until one of them goes.
async fn heartbeat(State(app): State<Arc<App>>) -> Response {
    event_stream(async_stream::stream! {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                () = app.stopping() => return,
                _ = beat.tick() => yield "data: ALIVE\n\n".to_owned(),
            }
        }
    })
}

/// A stream of events, written as they are: Python's clients end at any line that Gradio's server would not send, comments too.
fn event_stream(pieces: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(pieces.map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece))));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        // Reverse proxies hold events back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}
