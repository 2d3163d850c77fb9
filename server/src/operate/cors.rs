//! Which pages of other origins may call.
//!
//! Pages that this machine serves may call a server on this machine, as with the published server; others must be named. Browsers ask before
//! they send JSON; forms they send unasked, so that those of pages that may not call are refused here.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{header, request, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::{IntoResponse, Response};
use axum::Router;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::client::{is_local_authority, is_local_origin};
use crate::error::ApiError;
use crate::state::App;

/// How long a browser may remember what it was told, as the published server says it.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The origins that may call.
#[derive(Debug, Clone)]
struct Origins {
    named: Arc<[String]>,
    all: bool,
}

impl Origins {
    fn new(origins: &[String]) -> Self {
        let named = origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { named, all: origins.iter().any(|origin| origin == "*") }
    }

    fn permits(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        self.all
            || self.named.iter().any(|named| origin.eq_ignore_ascii_case(named))
            || (is_local_origin(origin) && is_local_authority(host))
    }
}

/// Refuses what a browser sends for a page that may not call. Only browsers say so, and they say it whether the page wants it or not.
async fn refuse_strangers(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_of_another_site =
        headers.get("sec-fetch-site").is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_of_another_site
        && changes
        && !headers.get(header::ORIGIN).is_some_and(|origin| origins.permits(origin, headers))
    {
        return ApiError::invalid(
            "this page's origin may not call this server; its operator can name it in cors.origins",
        )
        .with_status(StatusCode::FORBIDDEN)
        .into_response();
    }
    next.run(request).await
}

/// Puts the answers to preflight requests, and the headers, before `router`.
pub fn layer(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let origins = Origins::new(&app.config.cors.origins);
    let permits = origins.clone();
    let permits = move |origin: &HeaderValue, parts: &request::Parts| permits.permits(origin, &parts.headers);
    let told =
        ["x-api-version", "x-request-id", "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(permits))
        .allow_methods(AllowMethods::list([
            Method::DELETE,
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::PATCH,
            Method::POST,
            Method::PUT,
        ]))
        .allow_headers(AllowHeaders::mirror_request())
        // Gradio's client in a browser asks with them; there are none that this server looks at.
        .allow_credentials(true)
        .expose_headers(told.map(HeaderName::from_static))
        .max_age(MAX_AGE);
    router.layer(from_fn_with_state(origins, refuse_strangers)).layer(cors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_origins_and_this_machines_may_call() {
        let permits = |origins: &[&str], origin: &'static str, host: &'static str| {
            let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let headers: HeaderMap = [(header::HOST, HeaderValue::from_static(host))].into_iter().collect();
            Origins::new(&origins).permits(&HeaderValue::from_static(origin), &headers)
        };
        assert!(permits(&[], "http://localhost:3000", "127.0.0.1:7889"));
        assert!(permits(&["https://a.example/"], "https://A.example", "s.example"));
        assert!(permits(&["*"], "https://anything.example", "s.example"));
        for (origin, host) in [
            ("https://b.example", "s.example"),
            ("http://a.example", "s.example"),
            ("https://a.example.evil", "s.example"),
            ("http://localhost:3000", "s.example"),
            ("http://localhost.evil", "localhost"),
            ("null", "localhost"),
            ("", "localhost"),
        ] {
            assert!(!permits(&["https://a.example"], origin, host), "{origin} {host}");
        }
    }
}
