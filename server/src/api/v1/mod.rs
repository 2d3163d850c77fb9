//! Our own API, version 1: docs/http-v1.md.

pub mod analyze;
pub mod batch;
pub mod models;
pub mod sessions;

use std::sync::Arc;

use axum::http::header::HeaderName;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::routing::{any, delete, get, post};
use axum::Router;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::error::ApiError;
use crate::state::App;

/// The version of the API, and the header that tells it.
pub const VERSION: &str = "1.0";
const HEADER: HeaderName = HeaderName::from_static("x-api-version");

/// `/v1/…`
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/analyze", post(analyze::analyze))
        .route("/v1/batch", post(batch::batch))
        .route("/v1/sessions", post(sessions::open))
        .route("/v1/sessions/{id}", delete(sessions::close))
        .route("/v1/sessions/{id}/ask", post(sessions::ask))
        .route("/v1/sessions/{id}/reset", post(sessions::reset))
        .route("/v1/{*rest}", any(unknown))
        .method_not_allowed_fallback(wrong_method)
}

/// The header of every answer.
pub fn version_layer() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(HEADER, HeaderValue::from_static(VERSION))
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("{} is no call of this server; /docs lists them", uri.path()))
}

/// The answer to a method that a path does not take.
pub async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::invalid(format!("{} does not take {method}; /docs lists the calls", uri.path()))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
