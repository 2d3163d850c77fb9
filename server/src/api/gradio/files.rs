//! Files that Gradio's clients send before they ask, and read back.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::{header, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::Json;
use bytes::Bytes;
use futures_util::Stream;
use percent_encoding::{utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};
use serde_json::json;

use crate::api::body::{self, Kind};
use crate::error::{ApiError, ApiResult};
use crate::files::uploads::Upload;
use crate::state::App;

/// The part that holds a file.
const FILES: &str = "files";
/// Most files of one form.
const MOST: usize = 16;
/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;
/// What RFC 5987 leaves as it is, for the most part.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// `POST /upload`: the paths by which the files can be named.
pub async fn upload(State(app): State<Arc<App>>, request: Request) -> Response {
    if Kind::of(request.headers()) != Kind::Form {
        return (StatusCode::BAD_REQUEST, Json(json!({"detail": "Invalid content type."}))).into_response();
    }
    match store(&app, request).await {
        Ok(paths) => Json(paths).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn store(app: &App, request: Request) -> ApiResult<Vec<String>> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut uploads = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(|error| body::of_error(&error))? {
        if field.name() != Some(FILES) {
            continue;
        }
        if uploads.len() == MOST {
            return Err(ApiError::invalid(format!("the form has more than {MOST} files; send them in several forms")));
        }
        let name = field.file_name().unwrap_or_default().to_owned();
        let mut writing = app.files.uploads.create(&name).await?;
        while let Some(piece) = field.chunk().await.map_err(|error| body::of_error(&error))? {
            writing.push(piece).await?;
        }
        uploads.push(writing.finish().await?);
    }
    // All or none: the client learns no path of a form that failed.
    uploads.into_iter().map(|upload| app.files.uploads.keep(upload)).collect()
}

/// `GET /file={path}`: an upload that is kept, and nothing else of this machine.
pub async fn file(State(app): State<Arc<App>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    match app.files.uploads.kept(&path) {
        Some(upload) => serve(&upload, &headers),
        None => (StatusCode::FORBIDDEN, Json(json!({"detail": format!("File not allowed: {path}.")}))).into_response(),
    }
}

fn serve(upload: &Upload, headers: &HeaderMap) -> Response {
    let length = upload.bytes();
    let etag = format!("\"{}\"", upload.digest().to_hex());
    let kind = kind(upload.name());
    let place = if kind.is_some() { "inline" } else { "attachment" };
    let disposition = format!("{place}; filename*=utf-8''{}", utf8_percent_encode(upload.name(), NAME));
    let range = match headers.get(header::RANGE).and_then(|range| range.to_str().ok()) {
        Some(text) if headers.get(header::IF_RANGE).is_none_or(|known| known.as_bytes() == etag.as_bytes()) => {
            wanted(text, length)
        }
        _ => Wanted::All,
    };
    let (status, bytes) = match range {
        Wanted::All => (StatusCode::OK, 0..length),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Nothing => {
            let range = HeaderValue::try_from(format!("bytes */{length}"));
            let headers = range.map(|range| [(header::CONTENT_RANGE, range)]).ok();
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers.map_or_else(HeaderMap::new, HeaderMap::from_iter))
                .into_response();
        }
    };
    let mut response = Body::from_stream(read(upload.clone(), bytes.clone())).into_response();
    *response.status_mut() = status;
    let given = [
        (header::CONTENT_TYPE, kind.unwrap_or("application/octet-stream").to_owned()),
        (header::CONTENT_LENGTH, (bytes.end - bytes.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, etag),
        (header::CONTENT_DISPOSITION, disposition),
        // What somebody sent must not become a page of this server.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    let part = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| (header::CONTENT_RANGE, format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1)));
    for (name, value) in given.into_iter().chain(part) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What a browser may show: sound and pictures. Anything else is offered for saving.
fn kind(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "mkv" => "video/x-matroska",
        "flv" => "video/x-flv",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "flac" => "audio/flac",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "webp" => "image/webp",
        _ => return None,
    })
}

#[derive(Debug, PartialEq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// What the header `Range` asks of a file: one part. Several, or what is no range of bytes, is answered with all of it.
fn wanted(text: &str, length: u64) -> Wanted {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::All;
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    let part = match (first.trim(), last.trim()) {
        ("", "") => return Wanted::All,
        ("", last) => match number(last) {
            Some(count) => length.saturating_sub(count)..length,
            None => return Wanted::All,
        },
        (first, "") => match number(first) {
            Some(first) => first..length,
            None => return Wanted::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
            _ => return Wanted::All,
        },
    };
    if part.start < part.end {
        Wanted::Part(part)
    } else {
        Wanted::Nothing
    }
}

fn read(upload: Upload, bytes: Range<u64>) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    async_stream::stream! {
        let mut at = bytes.start;
        while at < bytes.end {
            let count = usize::try_from(bytes.end - at).unwrap_or(BLOCK).min(BLOCK);
            let upload = upload.clone();
            let block = tokio::task::spawn_blocking(move || {
                let mut block = vec![0; count];
                let mut file = upload.file().reader();
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut block)?;
                Ok(Bytes::from(block))
            });
            let block = block.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            let is_over = block.is_err();
            yield block;
            if is_over {
                return;
            }
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=4-9", Wanted::Part(4..10)),
            ("bytes=4-", Wanted::Part(4..18)),
            ("bytes=-6", Wanted::Part(12..18)),
            ("bytes=-99", Wanted::Part(0..18)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..18)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..18)),
            ("bytes=18-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("items=0-1", Wanted::All),
        ] {
            assert_eq!(wanted(text, 18), expected, "{text}");
        }
    }

    #[test]
    fn only_sound_and_pictures_are_shown() {
        assert_eq!(kind("a.MP4"), Some("video/mp4"));
        for other in ["a.html", "a.svg", "a.mp4.html", "mp4", "", "a.xhtml", "a.js"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
