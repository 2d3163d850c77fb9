//! What a client is told when a call fails: a status and `{"error", "code", "details"}`.
//!
//! | status | code | when |
//! |---|---|---|
//! | 400 | `invalid_argument`, `media_undecodable` | the request, or the clip in it, cannot be used |
//! | 401, 403 | `invalid_argument` | no key or a wrong one; a key without the right |
//! | 404 | `not_found` | no such file, session or path |
//! | 405, 406, 408, 415, 421, 431 | `invalid_argument` | the method, the types, the time or the head of the request |
//! | 413 | `media_too_large`, `invalid_argument` | the clip or the body is beyond a limit |
//! | 429 | `overloaded` | the caller's rate; with `Retry-After` |
//! | 499 | `cancelled` | the work was stopped, by the client or by the end of the server |
//! | 500 | `internal`, `pack_invalid` | a defect here |
//! | 503 | `overloaded`, `out_of_memory` | too much to do; with `Retry-After` |
//! | 504 | `timeout` | beyond the time that an analysis may take |

use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::Json;
use emotion_llama_core::{Error, ErrorKind};
use serde_json::{json, Value};

/// A result with [`ApiError`].
pub type ApiResult<T> = Result<T, ApiError>;

/// Seconds that a client is asked to wait where nothing better is known.
const RETRY_S: u64 = 1;

/// A failed call.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// Stable name of the kind.
    pub code: ErrorKind,
    /// One sentence for a person: what, where, what to do.
    pub error: String,
    /// More of it, for programs.
    pub details: Option<Value>,
    /// Seconds after which it may go better.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// An error of `kind` with the status that it has by itself.
    pub fn new(kind: ErrorKind, error: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_S);
        Self { status, code: kind, error: error.into(), details: None, retry_after }
    }

    /// A request that cannot be used.
    pub fn invalid(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, error)
    }

    /// Something that is not there.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, error)
    }

    /// Too much to do: 503.
    pub fn overloaded(error: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after.max(1)), ..Self::new(ErrorKind::Overloaded, error) }
    }

    /// A defect here. `error` goes to the log and the client is told that there is one.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a call failed by a defect of this server");
        Self::new(ErrorKind::Internal, "the server failed; its log says why")
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with details.
    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }

    /// `{"error", "code", "details"}`.
    pub fn to_json(&self) -> Value {
        json!({"error": self.error, "code": self.code.name(), "details": self.details})
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for ApiError {}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error.kind {
            // What is said there is of this machine: paths of the pack, names of tensors.
            ErrorKind::Internal | ErrorKind::PackInvalid => Self { code: error.kind, ..Self::internal(error) },
            kind => Self::new(kind, error.message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status_and_no_defect_is_told_in_detail() {
        for kind in ErrorKind::ALL {
            let error = ApiError::from(Error::new(kind, "/packs/secret: said"));
            assert_eq!((error.status.as_u16(), error.code), (kind.http_status(), kind));
            assert_eq!(error.error.contains("secret"), error.status != StatusCode::INTERNAL_SERVER_ERROR, "{kind}");
            assert_eq!(error.retry_after.is_some(), error.status == StatusCode::SERVICE_UNAVAILABLE);
        }
        let response = ApiError::overloaded("full", 0).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
