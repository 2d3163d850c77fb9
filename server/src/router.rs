//! All calls, and what stands before them.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;
use crate::operate::{cors, headers, health, logs, metrics};
use crate::state::App;
use crate::{access, api, page};

/// The calls of both ports.
pub fn build(app: &Arc<App>) -> Router {
    let calls = Router::new()
        .merge(api::v1::routes())
        .merge(api::published::routes())
        .merge(api::gradio::routes())
        .merge(api::openai::routes())
        .merge(api::openapi::routes(app))
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(page::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(app), api::body::guard));
    // From the inside to the outside: what is refused for want of a key is logged and counted, and pages of other origins may read it.
    let calls = calls.layer(CatchPanicLayer::custom(panicked));
    let calls = access::layer(calls, app);
    let calls = cors::layer(calls, app);
    let calls = headers::layer(calls, app);
    let calls = metrics::layer(calls, app);
    let calls = logs::layer(calls, app);
    calls.layer(api::v1::version_layer()).with_state(Arc::clone(app))
}

/// What it says went to standard error already.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal("a handler panicked").into_response()
}

/// As both published servers answer.
async fn unknown(uri: Uri) -> Response {
    tracing::trace!(path = uri.path(), "no such call");
    (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"}))).into_response()
}

/// As both published servers answer.
async fn wrong_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"detail": "Method Not Allowed"}))).into_response()
}
