//! The call in two steps that Gradio documents for cURL: the first gives an event's name, the second its stream.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::Json;
use futures_util::{Stream, StreamExt};
use serde_json::{json, Value};

use super::messages::event as written;
use super::progress::{progress, Progress};
use super::{event_stream, queue, BEAT, FUNCTION};
use crate::api::published;
use crate::client::Client;
use crate::error::ApiError;
use crate::state::App;
use crate::work::events::Event;

/// `POST /call/{function}`
pub async fn begin(
    State(app): State<Arc<App>>,
    client: Client,
    Path(function): Path<String>,
    request: Request,
) -> Response {
    if function != FUNCTION {
        return ApiError::not_found(format!("there is no function of that name; the only one is {FUNCTION}"))
            .into_response();
    }
    let (parts, body) = request.into_parts();
    let asked = match published::object(&app, &parts.headers, body).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let data = match published::values(&asked) {
        Ok(data) => data,
        Err(refusal) => return *refusal,
    };
    let begun = async {
        let reader = queue::begin(&app, &client, &parts.headers, data).await?;
        app.events.put(&client, reader)
    };
    match begun.await {
        Ok(event) => Json(json!({"event_id": event})).into_response(),
        Err(error) => error.into_response(),
    }
}

/// `GET /call/{function}/{event}`. Gradio does not look at the function's name here, and neither do we.
pub async fn events(State(app): State<Arc<App>>, client: Client, Path((_, event)): Path<(String, String)>) -> Response {
    match app.events.take(&client, &event) {
        Some(event) => event_stream(tell(app, event)),
        None => event_stream(futures_util::stream::iter([written("error", &json!("404: Session not found."))])),
    }
}

fn tell(app: Arc<App>, event: Event) -> impl Stream<Item = String> + Send {
    async_stream::stream! {
        let mut beat = tokio::time::interval(BEAT);
        beat.reset();
        let mut steps = std::pin::pin!(progress(app, event));
        loop {
            let step = tokio::select! {
                biased;
                step = steps.next() => step,
                _ = beat.tick() => {
                    yield written("heartbeat", &Value::Null);
                    continue;
                }
            };
            match step {
                Some(Progress::Waits(_) | Progress::Starts) => {}
                Some(Progress::Grows { whole, .. }) => yield written("generating", &json!([whole])),
                Some(Progress::Answers { text, .. }) => yield written("complete", &json!([text])),
                Some(Progress::Fails(error)) => yield written("error", &error.to_json()),
                Some(Progress::Stops) => yield written("error", &Value::Null),
                None => return,
            }
        }
    }
}
