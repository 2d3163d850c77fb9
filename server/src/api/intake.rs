//! From the body of a request to what is asked: JSON that names a file, or a form that holds one.

use std::sync::Arc;

use axum::body::Body;
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
            let (text, upload) = form(app, http).await?;
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

/// Reads a form: the part `request`, which may be left out, then the part `media`.
async fn form(app: &Arc<App>, http: HttpRequest) -> ApiResult<(Bytes, Upload)> {
    // Nobody should send a clip in vain.
    drop(app.queue.enter()?);
    let mut form = Multipart::from_request(http, &()).await.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut text: Option<Bytes> = None;
    let mut upload = None;
    while let Some(field) = form.next_field().await.map_err(|error| of_form(&error))? {
        match field.name() {
            Some(REQUEST) if text.is_none() && upload.is_none() => {
                text = Some(small(field, app.config.limits.body_bytes).await?);
            }
            Some(MEDIA) if upload.is_none() => {
                let mut field = field;
                let name = field.file_name().unwrap_or_default().to_owned();
                let mut writing = app.files.uploads.create(&name).await?;
                while let Some(piece) = field.chunk().await.map_err(|error| of_form(&error))? {
                    writing.push(piece).await?;
                }
                upload = Some(writing.finish().await?);
            }
            name => return Err(ApiError::invalid(format!(
                "the form has a part {:?} that is not known or not in its place; send request, then media, once each",
                name.unwrap_or_default()
            ))),
        }
    }
    let upload = upload.ok_or_else(|| ApiError::invalid("the form has no part media; send the clip's bytes in it"))?;
    Ok((text.unwrap_or_else(|| Bytes::from_static(b"{}")), upload))
}

async fn small(mut field: axum::extract::multipart::Field<'_>, most: u64) -> ApiResult<Bytes> {
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
