//! From the body of a request to what is asked: JSON that names a file, or a form that holds one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request as HttpRequest};
use axum::http::HeaderMap;
use bytes::Bytes;
use emotion_llama_core::media::Source;
use emotion_llama_core::request::Request;
use serde_json::Value;

use super::body::{self, Kind};
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::files::uploads::Upload;
use crate::state::App;
use crate::work::ask::Ask;

/// The parts of a form.
const REQUEST: &str = "request";
const REQUESTS: &str = "requests";
const MEDIA: &str = "media";

/// Reads a request in either form.
///
/// # Errors
/// `invalid_argument` (400, 408, 415), `not_found`, `media_too_large`, `overloaded`.
pub async fn ask(app: &Arc<App>, client: &Client, http: HttpRequest) -> ApiResult<Ask> {
    match Kind::of(http.headers()) {
        Kind::Json => {
            let (parts, body) = http.into_parts();
            let text = body::read(body, app.config.limits.body_bytes).await?;
            named(app, client, &parts.headers, &text)
        }
        Kind::Form => {
            let (text, uploads) = form(app, http, REQUEST, 1).await?;
            let upload = uploads.into_iter().next().ok_or_else(|| ApiError::internal("a form lost its clip"))?;
            uploaded(app, &text, upload)
        }
        Kind::Unsaid | Kind::Other => {
            Err(body::unsupported("application/json, or multipart/form-data with the parts request and media"))
        }
    }
}

/// The request that the JSON `text` is, about the file that it names.
///
/// # Errors
/// `invalid_argument`, `not_found`.
pub fn named(app: &App, client: &Client, headers: &HeaderMap, text: &[u8]) -> ApiResult<Ask> {
    let mut request = Request::from_json(text, None)?;
    let Source::Path(path) = &request.source else {
        return Err(ApiError::internal("a request without bytes has no path"));
    };
    let found = app.files.find(path.to_str().unwrap_or_default(), client, headers)?;
    request.source = found.file.into();
    Ok(Ask::new(app, request, found.upload))
}

/// The request that the JSON `text` is, about what was uploaded beside it.
///
/// # Errors
/// `invalid_argument`.
pub fn uploaded(app: &App, text: &[u8], upload: Upload) -> ApiResult<Ask> {
    let request = Request::from_json(text, Some(upload.file().into()))?;
    Ok(Ask::new(app, request, Some(upload)))
}

/// Reads a batch in either form: the JSON text, and the clips beside it in their order.
///
/// # Errors
/// As [`ask`].
pub async fn batch(app: &Arc<App>, http: HttpRequest) -> ApiResult<(Bytes, Vec<Upload>)> {
    match Kind::of(http.headers()) {
        Kind::Json => {
            let body = body::read(http.into_body(), app.config.limits.body_bytes).await?;
            Ok((body, Vec::new()))
        }
        Kind::Form => form(app, http, REQUESTS, app.config.limits.batch).await,
        Kind::Unsaid | Kind::Other => {
            Err(body::unsupported("application/json, or multipart/form-data with the parts requests and media"))
        }
    }
}

/// Reads a form: the part `name`, which may be left out, then 1 to `most` parts `media`.
async fn form(app: &Arc<App>, http: HttpRequest, name: &str, most: usize) -> ApiResult<(Bytes, Vec<Upload>)> {
    // Nobody should send a clip in vain.
    drop(app.queue.enter()?);
    let mut form = Multipart::from_request(http, &()).await.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut text: Option<Bytes> = None;
    let mut uploads = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| of_form(&error))? {
        match field.name() {
            Some(given) if given == name && text.is_none() && uploads.is_empty() => {
                text = Some(small(field, app.config.limits.body_bytes).await?);
            }
            Some(MEDIA) if uploads.len() < most => uploads.push(store(app, field).await?),
            other => {
                return Err(ApiError::invalid(format!(
                    "the form has a part {:?} that is not known or not in its place; send {name}, then media, at most {most}",
                    other.unwrap_or_default()
                )))
            }
        }
    }
    if uploads.is_empty() {
        return Err(ApiError::invalid("the form has no part media; send the clip's bytes in it"));
    }
    Ok((text.unwrap_or_else(|| Bytes::from_static(b"{}")), uploads))
}

/// Stores the bytes of a part.
///
/// # Errors
/// `media_too_large`, `overloaded`; `invalid_argument` for a body that breaks off.
pub async fn store(app: &App, mut field: Field<'_>) -> ApiResult<Upload> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let mut writing = app.files.uploads.create(&name).await?;
    while let Some(piece) = field.chunk().await.map_err(|error| of_form(&error))? {
        writing.push(piece).await?;
    }
    writing.finish().await
}

async fn small(mut field: Field<'_>, most: u64) -> ApiResult<Bytes> {
    let mut whole = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| of_form(&error))? {
        if (whole.len() + piece.len()) as u64 > most {
            return Err(crate::files::uploads::too_large(most));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

fn of_form(error: &axum::extract::multipart::MultipartError) -> ApiError {
    body::of_error(error)
}

/// The JSON object that `body` is.
///
/// # Errors
/// 413, 408, 415; `invalid_argument` for what is no JSON.
pub async fn json(app: &App, headers: &HeaderMap, body: Body) -> ApiResult<(Bytes, Value)> {
    if Kind::of(headers) != Kind::Json {
        return Err(body::unsupported("application/json"));
    }
    let text = body::read(body, app.config.limits.body_bytes).await?;
    let value =
        serde_json::from_slice(&text).map_err(|error| ApiError::invalid(format!("the body is no JSON: {error}")))?;
    Ok((text, value))
}
