//! Bodies of requests: bounded in bytes and in time before anybody reads them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use emotion_llama_core::ErrorKind;
use futures_util::StreamExt;

use crate::error::{ApiError, ApiResult};
use crate::state::App;

/// What a form has besides the clip.
const FORM_BYTES: u64 = 4 << 20;

/// Why a body came to no good end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLarge(u64),
    Slow,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TooLarge(most) => write!(f, "the body has more than {most} bytes"),
            Fault::Slow => f.write_str("the body did not arrive in time"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge(most) => {
                ApiError::new(ErrorKind::MediaTooLarge, format!("{fault}, the most that this server takes; send less"))
                    .with_details(serde_json::json!({"max_bytes": most}))
            }
            Fault::Slow => ApiError::invalid(format!("{fault}; send it faster, or in one piece"))
                .with_status(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

/// Bounds every body. What is longer than it may be, or comes slower, ends in an error where it is read.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let limits = &app.config.limits;
    // A clip inside JSON is a third longer.
    let most = limits.upload_bytes.saturating_add(limits.upload_bytes / 3).saturating_add(FORM_BYTES);
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most) {
        return ApiError::from(Fault::TooLarge(most)).into_response();
    }
    let idle = Duration::from_secs_f64(limits.idle_s);
    let deadline = Instant::now() + Duration::from_secs_f64(limits.body_s);
    next.run(request.map(|body| bounded(body, most, idle, deadline))).await
}

fn bounded(body: Body, most: u64, idle: Duration, deadline: Instant) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let mut pieces = body.into_data_stream();
    Body::from_stream(async_stream::stream! {
        let mut left = most;
        loop {
            let patience = idle.min(deadline.saturating_duration_since(Instant::now()));
            match tokio::time::timeout(patience, pieces.next()).await {
                Err(_) => {
                    yield Err(axum::Error::new(Fault::Slow));
                    return;
                }
                Ok(None) => return,
                Ok(Some(Err(error))) => {
                    yield Err(error);
                    return;
                }
                Ok(Some(Ok(piece))) => match left.checked_sub(piece.len() as u64) {
                    None => {
                        yield Err(axum::Error::new(Fault::TooLarge(most)));
                        return;
                    }
                    Some(rest) => {
                        left = rest;
                        yield Ok(piece);
                    }
                },
            }
        }
    })
}

/// All of `body`, if it has at most `most` bytes.
///
/// # Errors
/// 413, 408; `invalid_argument` for a body that breaks off.
pub async fn read(body: Body, most: u64) -> ApiResult<Bytes> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| of_error(&error))?;
        if (whole.len() + piece.len()) as u64 > most {
            return Err(Fault::TooLarge(most).into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// The error of a body, or of what reads it, that failed with `error`.
pub fn of_error(error: &(dyn std::error::Error + 'static)) -> ApiError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return (*fault).into();
        }
        cause = error.source();
    }
    ApiError::invalid(format!("the body of the request cannot be read: {error}"))
}

/// What kind of body a request says to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `application/json`, or another type on its base.
    Json,
    /// `multipart/form-data`.
    Form,
    /// No header.
    Unsaid,
    /// Something else.
    Other,
}

impl Kind {
    /// By the header `Content-Type`.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Kind::Unsaid };
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Kind::Json,
            "multipart/form-data" => Kind::Form,
            other if other.starts_with("application/") && other.ends_with("+json") => Kind::Json,
            _ => Kind::Other,
        }
    }
}

/// The error of a body of a kind that a call does not take.
pub fn unsupported(expected: &str) -> ApiError {
    ApiError::invalid(format!("the body is of a type that this call does not take; send {expected}"))
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}
