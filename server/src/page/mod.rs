//! The page at `/`: the files of `server/page`, held in the program.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::state::App;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Nothing from elsewhere, and no script or style but the files. `blob:` is the clip that a person chose.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(self), geolocation=()"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Another release has other files under the same names, so each visit asks whether they are still these.
    (header::CACHE_CONTROL, "no-cache"),
];

/// `/` and what it needs. No key is asked for: the page itself asks for one when a call is refused without.
pub fn routes() -> Router<Arc<App>> {
    pages()
}

fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/page/{name}", get(named))
}

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    tag: HeaderValue,
}

impl File {
    fn new(name: &'static str, kind: &'static str, content: &'static str) -> Self {
        let hash = blake3::hash(content.as_bytes()).to_hex();
        let tag = HeaderValue::from_str(&format!("\"{}\"", &hash[..32])).expect("hexadecimal digits are visible ASCII");
        Self { name, kind, content, tag }
    }
}

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File::new($name, $kind, include_str!(concat!("../../page/", $name)))
    };
}

/// The first is that of `/`.
static FILES: LazyLock<[File; 15]> = LazyLock::new(|| {
    [
        file!("index.html", HTML),
        file!("style.css", CSS),
        file!("icon.svg", SVG),
        file!("announce.js", SCRIPT),
        file!("api.js", SCRIPT),
        file!("app.js", SCRIPT),
        file!("clip.js", SCRIPT),
        file!("events.js", SCRIPT),
        file!("frame.js", SCRIPT),
        file!("language.js", SCRIPT),
        file!("result.js", SCRIPT),
        file!("strings.js", SCRIPT),
        file!("talk.js", SCRIPT),
        file!("trouble.js", SCRIPT),
        file!("webcam.js", SCRIPT),
    ]
});

async fn index(headers: HeaderMap) -> Response {
    answer(&FILES[0], &headers)
}

async fn named(Path(name): Path<String>, headers: HeaderMap) -> Response {
    // Below `/page/` the first would not find the others.
    match FILES.iter().skip(1).find(|file| file.name == name) {
        Some(file) => answer(file, &headers),
        None => (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"}))).into_response(),
    }
}

/// The file, or 304 for a client that has it.
fn answer(file: &File, headers: &HeaderMap) -> Response {
    let kept = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = kept.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        // A proxy that compresses weakens the tag.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == file.tag.as_bytes()
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.kind)], file.content).into_response()
    };
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response.headers_mut().insert(header::ETAG, file.tag.clone());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::{to_bytes, Body};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, tag: Option<&str>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::get(path);
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let response = pages::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn every_file_of_the_page_is_held() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let there: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        assert_eq!(there, FILES.iter().map(|file| file.name.to_owned()).collect());
    }

    #[tokio::test]
    async fn the_page_comes_with_its_policy() {
        for (path, kind) in [("/", HTML), ("/page/app.js", SCRIPT), ("/page/style.css", CSS), ("/page/icon.svg", SVG)] {
            let (status, headers, body) = ask(path, None).await;
            assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, kind));
            assert!(!body.is_empty());
            for (name, value) in HEADERS {
                assert_eq!(headers[&name], value, "{path} {name}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_known_is_not_sent_again() {
        let (_, headers, _) = ask("/", None).await;
        let tag = headers[header::ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let (status, headers, body) = ask("/", Some(&known)).await;
            assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
            assert_eq!(headers[header::ETAG], tag);
        }
        assert_eq!(ask("/", Some("\"other\"")).await.0, StatusCode::OK);
        assert_eq!(ask("/page/app.js", Some(tag)).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        for path in ["/page/", "/page/mod.rs", "/page/tests", "/page/..%2fCargo.toml", "/page/%2e%2e", "/page/%ff"] {
            assert!(ask(path, None).await.0.is_client_error(), "{path}");
        }
    }
}
