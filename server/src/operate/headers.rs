//! Headers that keep browsers from doing with answers what they are not for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::Response;
use axum::Router;

use crate::client::Client;
use crate::state::App;

/// What answers may do that are no pages: nothing.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// What pages may not do, where they do not say more themselves.
const FRAMES: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'; object-src 'none'; base-uri 'none'");

async fn put(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_secure = Client::of(request.extensions()).is_secure;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { FRAMES } else { NOTHING };
    let usual = |headers: &mut HeaderMap, name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    usual(headers, header::CONTENT_SECURITY_POLICY, policy);
    usual(headers, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    usual(headers, header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    usual(headers, header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    usual(headers, HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    // What is said of a person is nothing for a cache between here and there.
    usual(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let hsts = app.config.tls.hsts_s;
    if is_secure && hsts > 0 {
        if let Ok(value) = HeaderValue::try_from(format!("max-age={hsts}")) {
            usual(headers, header::STRICT_TRANSPORT_SECURITY, value);
        }
    }
    response
}

/// Puts the headers on every answer of `router`.
pub fn layer(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(Arc::clone(app), put))
}
