//! Bodies of requests: bounded in bytes and in time before anybody reads them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use emotion_llama_core::ErrorKind;
use futures_util::StreamExt;

use crate::error::{ApiError, ApiResult};
use crate::files::uploads::Share;
use crate::state::App;

/// What a form has besides the clip.
const FORM_BYTES: u64 = 4 << 20;
/// How long, and how many bytes, a body is read on that nobody wants.
const DRAIN: Duration = Duration::from_secs(5);
const DRAIN_BYTES: usize = 64 << 20;

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
    let inline = limits.inline_bytes.saturating_add(limits.inline_bytes / 3).saturating_add(limits.body_bytes);
    // The calls that take many clips at once.
    let path = request.uri().path();
    let uploads = match path == "/v1/batch" || path.ends_with("/upload") {
        true => app.config.files.upload_total_bytes,
        false => limits.upload_bytes,
    };
    let most = uploads.saturating_add(FORM_BYTES).max(inline);
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_packed = |value: &header::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(header::CONTENT_ENCODING).iter().any(is_packed) {
        return unsupported("it without Content-Encoding").into_response();
    }
    let expects = request.headers().contains_key(header::EXPECT);
    if declared.is_some_and(|length| length > most) {
        drop(Rest::new(request.into_body(), expects));
        return ApiError::from(Fault::TooLarge(most)).into_response();
    }
    let idle = Duration::from_secs_f64(limits.idle_s);
    let deadline = Instant::now() + Duration::from_secs_f64(limits.body_s);
    next.run(request.map(|body| bounded(body, expects, most, idle, deadline))).await
}

fn bounded(body: Body, expects: bool, most: u64, idle: Duration, deadline: Instant) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let mut rest = Rest::new(body, expects);
    Body::from_stream(async_stream::stream! {
        let mut left = most;
        loop {
            let patience = idle.min(deadline.saturating_duration_since(Instant::now()));
            match tokio::time::timeout(patience, rest.next()).await {
                Err(_) => {
                    rest.forget();
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
                    Some(less) => {
                        left = less;
                        yield Ok(piece);
                    }
                },
            }
        }
    })
}

/// What is left of a body. When it is dropped before its end, it is read and thrown away for a while: a connection that is closed with
/// bytes unread is reset, and the client would lose the answer that says what was wrong.
struct Rest {
    pieces: Option<BodyDataStream>,
    /// The client waits until it is told to send, which reading would do.
    is_held_back: bool,
}

impl Rest {
    fn new(body: Body, expects: bool) -> Self {
        Self { pieces: Some(body.into_data_stream()), is_held_back: expects }
    }

    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        self.is_held_back = false;
        let piece = self.pieces.as_mut()?.next().await;
        if !matches!(piece, Some(Ok(_))) {
            self.pieces = None;
        }
        piece
    }

    fn forget(&mut self) {
        self.pieces = None;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(mut pieces) = self.pieces.take().filter(|_| !self.is_held_back) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(DRAIN, async move {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(piece)) = pieces.next().await {
                match left.checked_sub(piece.len()) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        }));
    }
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

/// All of a body that may hold a clip in base64, and the memory that it takes.
///
/// # Errors
/// As [`read`]; `overloaded` when too many are held in memory.
pub async fn read_inline(app: &App, body: Body) -> ApiResult<(Bytes, Share)> {
    let limits = &app.config.limits;
    // Base64 is a third longer than what it stands for.
    let most = limits.inline_bytes.saturating_add(limits.inline_bytes / 3).saturating_add(limits.body_bytes);
    let mut share = app.files.uploads.inline();
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| of_error(&error))?;
        if (whole.len() + piece.len()) as u64 > most {
            return Err(Fault::TooLarge(most).into());
        }
        share.grow(piece.len() as u64)?;
        whole.extend_from_slice(&piece);
    }
    Ok((whole.into(), share))
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
