//! `POST /v1/batch`

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::ErrorKind;
use futures_util::{stream, StreamExt};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::access::Allowance;
use crate::api::intake;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::state::App;
use crate::work::ask::{self, Answer, Ask};

/// How long is waited at most before the queue is asked for a place again.
const PATIENCE: Duration = Duration::from_secs(1);

/// One clip of a batch, with the name that its line gets.
struct Item {
    index: usize,
    id: Option<Value>,
    ask: ApiResult<Ask>,
}

/// `POST /v1/batch`
///
/// Many clips in one call. The answer is a line of JSON for each (NDJSON), in the order in which they are done. A clip that fails has its
/// error in its line.
#[utoipa::path(
    post, path = "/v1/batch", tag = "v1",
    request_body(
        content(
            (crate::api::openapi::schema::Batch = "application/json"),
            (crate::api::openapi::schema::BatchForm = "multipart/form-data"),
        ),
        description = "The requests, or a form with the part `requests` and a part `media` for each of them that has no path, in their order."
    ),
    responses(
        (status = 200, description = "A line for each clip, in order of completion.", body = crate::api::openapi::schema::BatchLine,
         content_type = "application/x-ndjson"),
        (status = "4XX", description = "The batch as a whole cannot be used.", body = crate::api::openapi::schema::Failure),
        (status = "5XX", description = "Too much to do (503), or a defect.", body = crate::api::openapi::schema::Failure),
    )
)]
pub async fn batch(State(app): State<Arc<App>>, client: Client, request: Request) -> ApiResult<Response> {
    app.engine()?;
    // Nobody should send a batch in vain.
    drop(app.queue.enter()?);
    let headers = request.headers().clone();
    let extensions = request.extensions().clone();
    let (text, mut media) = intake::batch(&app, request).await?;
    let items = items(&app, &text, media.len())?;
    // The batch itself was counted as one call already.
    Allowance::take_of(&extensions, items.len().saturating_sub(1))?;
    media.reverse();
    let items: Vec<Item> = items
        .into_iter()
        .enumerate()
        .map(|(index, mut fields)| {
            let id = fields.remove("id");
            let named = fields.contains_key("path");
            let text = Value::Object(fields).to_string();
            let upload = if named { None } else { media.pop() };
            let ask = match upload {
                Some(upload) => intake::uploaded(&app, text.as_bytes(), upload),
                None => intake::named(&app, &client, &headers, text.as_bytes()),
            };
            Item { index, id, ask }
        })
        .collect();
    // One more than can run, so that no turn is lost between two of them.
    let side_by_side = app.config.queue.running + 1;
    let lines = stream::iter(items).map(move |item| line(Arc::clone(&app), item)).buffer_unordered(side_by_side);
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The requests of the batch `text`; without any, `uploads` of them with nothing but defaults.
fn items(app: &App, text: &[u8], uploads: usize) -> ApiResult<Vec<Map<String, Value>>> {
    let wrong = |why: &str| {
        ApiError::invalid(format!(
            "the batch is not what is expected: {why}; write {{\"requests\": [{{\"path\": …}}, …]}}"
        ))
    };
    let value: Value = serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))?;
    let Value::Object(mut fields) = value else { return Err(wrong("it is no JSON object")) };
    let requests = fields.remove("requests");
    if let Some(name) = fields.keys().next() {
        return Err(wrong(&format!("the field {name:?} is not known")));
    }
    let requests: Vec<Map<String, Value>> = match requests {
        None => vec![Map::new(); uploads],
        Some(requests) => serde_json::from_value(requests).map_err(|_| wrong("requests is no list of objects"))?,
    };
    let unnamed = requests.iter().filter(|request| !request.contains_key("path")).count();
    match requests.len() {
        0 => Err(wrong("there is no request in it")),
        count if count > app.config.limits.batch => {
            Err(ApiError::invalid(format!("the batch has {count} requests; send at most {}", app.config.limits.batch)))
        }
        _ if unnamed != uploads && uploads > 0 => {
            Err(wrong(&format!("{unnamed} requests have no path, and {uploads} clips were sent")))
        }
        _ => Ok(requests),
    }
}

async fn line(app: Arc<App>, item: Item) -> Bytes {
    let outcome = match item.ask {
        Ok(ask) => patiently(&app, ask).await,
        Err(error) => Err(error),
    };
    let line = Line {
        index: item.index,
        id: item.id,
        analysis: outcome.as_deref().ok(),
        failure: outcome.as_ref().err().map(ApiError::to_json),
    };
    let text = serde_json::to_string(&line).unwrap_or_else(|error| ApiError::internal(error).to_json().to_string());
    format!("{text}\n").into()
}

/// A line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<&'a Analysis>,
    #[serde(flatten)]
    failure: Option<Value>,
}

/// The answer. While the queue is full, it is asked again: the batch was taken, so its parts are not refused.
async fn patiently(app: &Arc<App>, ask: Ask) -> ApiResult<Answer> {
    loop {
        // Before the attempt, so that no change between it and the wait is missed.
        let mut changes = app.queue.changes();
        match ask::answer(app, ask.clone()).await {
            Err(error) if error.code == ErrorKind::Overloaded && !app.is_stopping() => {
                let _ = tokio::time::timeout(PATIENCE, changes.changed()).await;
            }
            Err(error) => return Err(error),
            Ok(reader) => return reader.outcome().await,
        }
    }
}
