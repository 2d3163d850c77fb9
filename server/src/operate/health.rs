//! Whether the server lives, and whether it can answer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::state::App;

/// `/healthz` and `/readyz`.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// 200 as long as the process answers.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// 200 when an analysis would be taken: the model is there, and the server is not about to stop.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    let queue = app.queue.snapshot();
    let (status, word) = match (app.engine(), app.is_stopping()) {
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (Err(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
        (Ok(_), false) => (StatusCode::OK, "ready"),
    };
    (status, Json(json!({"status": word, "running": queue.running, "waiting": queue.waiting}))).into_response()
}
