//! Who may call, and how often: address rules, API keys, tokens, rates.
//!
//! Without keys and tokens in the configuration everybody may call. With them, every path needs one but those in [`is_open`]: also paths
//! that are not there, so that nobody learns which are.

pub mod addresses;
pub mod jwks;
pub mod jwt;
pub mod keys;
pub mod rates;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use emotion_llama_core::ErrorKind;
use serde_json::json;

use self::addresses::Addresses;
use self::jwt::{Refusal, Tokens};
use self::keys::{Holder, Keys, Right};
use self::rates::{Action, Rate, Subject, Verdict, Windows};
use crate::client::Client;
use crate::config::{Config, ConfigError};
use crate::error::{ApiError, ApiResult};
use crate::state::App;

/// How often an address may try keys and tokens that are wrong.
const FAILURES: Rate = Rate::per_minute(60);
/// What 401 answers ask for (RFC 6750).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"emotion-llama\"");
const BAD_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"emotion-llama\", error=\"invalid_token\"");
const FEW_SCOPES: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"emotion-llama\", error=\"insufficient_scope\"");

/// Keys, tokens, rates and address rules.
#[derive(Debug)]
pub struct Access {
    addresses: Addresses,
    keys: Keys,
    tokens: Option<Tokens>,
    per_key: Option<Rate>,
    per_address: Option<Rate>,
    windows: Arc<Windows>,
    protect_metrics: bool,
    /// The port that answers as the published FastAPI server does.
    fastapi_port: Option<u16>,
}

/// Why a call is not let through.
#[derive(Debug)]
enum Denied {
    /// It showed nothing, or what is not known: 401.
    Unknown(String, HeaderValue),
    /// It may not: 403.
    Forbidden(String, Option<HeaderValue>),
    /// Too often: 429.
    TooOften(Verdict),
    /// Cannot be decided now: 503.
    Undecided(String),
}

impl Access {
    /// As configured.
    ///
    /// # Errors
    /// Names the file or setting that cannot be used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let rate = |name: &str, text: &Option<String>| {
            let rate = text.as_deref().map(Rate::parse).transpose();
            rate.map_err(|why| ConfigError::new(format!("{name}: {why}")))
        };
        Ok(Self {
            addresses: Addresses::new(&config.access),
            keys: Keys::new(&config.access)?,
            tokens: Tokens::new(&config.jwt)?,
            per_key: rate("rates.per_key", &config.rates.per_key)?,
            per_address: rate("rates.per_address", &config.rates.per_address)?,
            windows: Arc::default(),
            protect_metrics: config.access.protect_metrics,
            fastapi_port: config.listen.fastapi_port,
        })
    }

    /// What has to be done from time to time: reads changed files again, fetches the issuer's keys, forgets old windows.
    pub async fn refresh(&self) {
        self.windows.sweep(Instant::now());
        self.keys.refresh();
        if let Some(tokens) = &self.tokens {
            tokens.refresh().await;
        }
    }

    /// Whether callers must show who they are.
    fn wants_credentials(&self) -> bool {
        !self.keys.is_empty() || self.tokens.is_some()
    }

    /// Whether the call came to the port that answers as the published FastAPI server does: there only `X-API-Key` counts for keys.
    fn is_published(&self, client: &Client) -> bool {
        self.fastapi_port == Some(client.port)
    }

    /// Who calls, as its headers prove; None where nobody has to say.
    async fn identify(&self, client: &Client, headers: &HeaderMap) -> Result<Option<Arc<Holder>>, Denied> {
        if !self.wants_credentials() {
            return Ok(None);
        }
        let sent = Sent::of(headers)?;
        let bearer_key = sent.bearer.filter(|_| !self.is_published(client));
        if let Some(holder) =
            [sent.key, bearer_key].into_iter().flatten().find_map(|key| self.keys.find(key.as_bytes()))
        {
            return Ok(Some(holder));
        }
        if let Some(tokens) = &self.tokens {
            // Clients send what they were given in both headers.
            if let Some(token) = [sent.bearer, sent.key].into_iter().flatten().find(|text| Tokens::is_shape(text)) {
                return match tokens.verify(token).await {
                    Ok(name) => Ok(Some(Arc::new(Holder::new(name, None)))),
                    Err(refusal @ Refusal::Invalid(_)) => Err(Denied::Unknown(refusal.to_string(), BAD_TOKEN)),
                    Err(refusal @ Refusal::Scope(_)) => Err(Denied::Forbidden(refusal.to_string(), Some(FEW_SCOPES))),
                    Err(refusal @ Refusal::NoKeys) => Err(Denied::Undecided(refusal.to_string())),
                };
            }
        }
        if sent.key.is_none() && sent.bearer.is_none() {
            let how = "no key was sent; send it as \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\"";
            return Err(Denied::Unknown(how.into(), CHALLENGE));
        }
        Err(Denied::Unknown("Invalid API key".into(), BAD_TOKEN))
    }

    /// The rate of a caller for an action, and whose windows it counts in. Who has a key's rate is not counted by address, as many may
    /// share one.
    fn rate(&self, holder: Option<&Holder>, address: IpAddr, action: Action) -> Option<(Subject, Rate)> {
        if let Some(holder) = holder {
            if let Some(rate) = holder.rate.or(self.per_key) {
                return Some((Subject::named(Arc::clone(&holder.name), action), rate));
            }
        }
        self.per_address.map(|rate| (Subject::address(address, action), rate))
    }

    /// Counts a refused call, so that nobody tries keys without end.
    fn count_failure(&self, address: IpAddr, denied: Denied) -> Denied {
        if !matches!(denied, Denied::Unknown(..)) {
            return denied;
        }
        let verdict = self.windows.take(&Subject::address(address, Action::Failure), FAILURES, 1, Instant::now());
        if verdict.is_allowed {
            denied
        } else {
            Denied::TooOften(verdict)
        }
    }

    /// Whether a call may be made, and what is left of its caller's rate.
    async fn check(
        &self,
        client: &mut Client,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Passed, Denied> {
        client.address = self.addresses.client(client.peer.ip(), headers);
        if !self.addresses.permits(client.address) {
            return Err(Denied::Forbidden(format!("the address {} may not call this server", client.address), None));
        }
        let path = plain_path(path);
        let is_open = is_open(method, path, self.protect_metrics);
        let holder = match self.identify(client, headers).await {
            Ok(holder) => holder,
            Err(_) if is_open => None,
            Err(denied) => return Err(self.count_failure(client.address, denied)),
        };
        if let Some(holder) = &holder {
            let right = if path == "/metrics" { Right::Metrics } else { Right::Analyze };
            if !holder.may(right) && !is_open {
                return Err(Denied::Forbidden(format!("the key {} has not the right to do this", holder.name), None));
            }
            client.name = Some(Arc::clone(&holder.name));
        }
        let counted = action(method, path).and_then(|action| self.rate(holder.as_deref(), client.address, action));
        let Some((subject, rate)) = counted else { return Ok(Passed { allowance: Allowance(None), verdict: None }) };
        let verdict = self.windows.take(&subject, rate, 1, Instant::now());
        if !verdict.is_allowed {
            return Err(Denied::TooOften(verdict));
        }
        let allowance = Allowance(Some((Arc::clone(&self.windows), subject, rate)));
        Ok(Passed { allowance, verdict: Some(verdict) })
    }

    /// The answer to a call that is not let through.
    fn refuse(&self, denied: Denied, client: &Client) -> Response {
        match denied {
            // As the published server answers, to the letter.
            Denied::Unknown(..) if self.is_published(client) => {
                let answer = (StatusCode::UNAUTHORIZED, Json(json!({"error": "Invalid API key"})));
                ([(header::WWW_AUTHENTICATE, CHALLENGE)], answer).into_response()
            }
            Denied::Unknown(why, challenge) => {
                let error = ApiError::invalid(why).with_status(StatusCode::UNAUTHORIZED);
                ([(header::WWW_AUTHENTICATE, challenge)], error).into_response()
            }
            Denied::Forbidden(why, challenge) => {
                let mut response = ApiError::invalid(why).with_status(StatusCode::FORBIDDEN).into_response();
                if let Some(challenge) = challenge {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Denied::TooOften(verdict) => too_often(&verdict),
            Denied::Undecided(why) => ApiError::overloaded(why, 5).into_response(),
        }
    }
}

struct Passed {
    allowance: Allowance,
    verdict: Option<Verdict>,
}

/// What is left of a caller's rate, as an extension of its request, for calls that stand for several.
#[derive(Debug, Clone)]
pub struct Allowance(Option<(Arc<Windows>, Subject, Rate)>);

impl Allowance {
    /// Counts further `calls` besides the one that was counted already, all or none.
    ///
    /// # Errors
    /// 429 when they are too many.
    pub fn take(&self, calls: usize) -> ApiResult<()> {
        let Some((windows, subject, rate)) = &self.0 else { return Ok(()) };
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let verdict = windows.take(subject, *rate, calls, Instant::now());
        if verdict.is_allowed {
            Ok(())
        } else {
            Err(rate_error(&verdict))
        }
    }

    /// Counts further calls in the allowance of a request's extensions.
    ///
    /// # Errors
    /// As [`Allowance::take`].
    pub fn take_of(extensions: &axum::http::Extensions, calls: usize) -> ApiResult<()> {
        extensions.get::<Self>().map_or(Ok(()), |allowance| allowance.take(calls))
    }

    fn give_back(&self) {
        if let Some((windows, subject, _)) = &self.0 {
            windows.give_back(subject);
        }
    }
}

/// What a call sent to show who it is.
#[derive(Debug, Default)]
struct Sent<'a> {
    key: Option<&'a str>,
    bearer: Option<&'a str>,
}

impl<'a> Sent<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Denied> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (value, None) => Ok(value.and_then(|value| value.to_str().ok()).map(str::trim)),
                // What stands before us may have looked at the other one.
                _ => Err(Denied::Unknown(format!("the header {name} is there twice"), BAD_TOKEN)),
            }
        };
        let bearer = one("authorization")?.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let is_there = |text: &&str| !text.is_empty();
        Ok(Self { key: one("x-api-key")?.filter(is_there), bearer: bearer.filter(is_there) })
    }
}

/// The path without Gradio's newer prefix and without a slash at its end.
fn plain_path(path: &str) -> &str {
    let path = path.strip_prefix("/gradio_api").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// What anybody may look at: the page where a key can be given, what there is to call, whether the server lives.
fn is_open(method: &Method, path: &str, protect_metrics: bool) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    match path {
        "/" | "/docs" | "/openapi.json" | "/healthz" | "/readyz" | "/favicon.ico" => true,
        "/metrics" => !protect_metrics,
        path => path.starts_with("/page/") || path.starts_with("/docs/"),
    }
}

/// What a call is counted as; None for those that only look, or end something.
fn action(method: &Method, path: &str) -> Option<Action> {
    if *method != Method::POST {
        return None;
    }
    match path {
        "/upload" => Some(Action::Upload),
        "/cancel" | "/reset" => None,
        path if path.starts_with("/v1/sessions/") && path.ends_with("/reset") => None,
        _ => Some(Action::Analysis),
    }
}

fn rate_error(verdict: &Verdict) -> ApiError {
    ApiError {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(verdict.reset_s.max(1)),
        // As upstream's documented limiter says it.
        ..ApiError::new(ErrorKind::Overloaded, format!("Rate limit exceeded: {}", verdict.rate))
    }
    .with_details(json!({"limit": verdict.rate.calls(), "window_s": verdict.rate.window().as_secs(), "retry_after_s": verdict.reset_s.max(1)}))
}

fn too_often(verdict: &Verdict) -> Response {
    let mut response = rate_error(verdict).into_response();
    verdict.write(response.headers_mut());
    response
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut client = Client::of(&parts.extensions);
    let passed = match app.access.check(&mut client, &parts.method, parts.uri.path(), &parts.headers).await {
        Ok(passed) => passed,
        Err(denied) => {
            let mut response = app.access.refuse(denied, &client);
            response.extensions_mut().insert(client);
            return response;
        }
    };
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(client.clone());
    request.extensions_mut().insert(passed.allowance.clone());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        passed.allowance.give_back();
    } else if let Some(verdict) = passed.verdict {
        verdict.write(response.headers_mut());
    }
    // For the log, which stands outside.
    response.extensions_mut().insert(client);
    response
}

/// Puts the checks before `router`: they run before every call, and set the caller's name and address in the extension
/// [`Client`](crate::client::Client).
pub fn layer(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(Arc::clone(app), guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_is_open_and_what_computes_is_counted() {
        for path in ["/", "/docs", "/docs/", "/openapi.json", "/page/app.js", "/healthz"] {
            assert!(is_open(&Method::GET, plain_path(path), true), "{path}");
            assert!(!is_open(&Method::POST, plain_path(path), true), "{path}");
        }
        assert!(is_open(&Method::GET, "/metrics", false) && !is_open(&Method::GET, "/metrics", true));
        for path in
            ["/config", "/info", "/v1/models", "/no_such_path", "/pages", "/file=/etc/passwd", "/page/../config"]
        {
            // The router takes paths as they are written.
            assert_eq!(is_open(&Method::GET, plain_path(path), false), path == "/page/../config", "{path}");
        }
        for (path, counted) in [
            ("/api/predict/", Some(Action::Analysis)),
            ("/gradio_api/queue/join", Some(Action::Analysis)),
            ("/v1/sessions/ab/ask", Some(Action::Analysis)),
            ("/v1/sessions/ab/reset", None),
            ("/gradio_api/cancel", None),
            ("/upload/", Some(Action::Upload)),
        ] {
            assert_eq!(action(&Method::POST, plain_path(path)), counted, "{path}");
            assert_eq!(action(&Method::GET, plain_path(path)), None, "{path}");
        }
    }

    #[test]
    fn credentials_are_read_from_both_headers_and_never_from_two_of_one() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        let both = headers(&[("authorization", "bearer  a "), ("x-api-key", "b")]);
        let sent = Sent::of(&both).unwrap();
        assert_eq!((sent.bearer, sent.key), (Some("a"), Some("b")));
        for other in [
            &[("authorization", "Basic a")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("x-api-key", "")],
            &[],
        ] {
            let other = headers(other);
            let sent = Sent::of(&other).unwrap();
            assert_eq!((sent.bearer, sent.key), (None, None), "{other:?}");
        }
        assert!(Sent::of(&headers(&[("x-api-key", "a"), ("x-api-key", "a")])).is_err());
        assert!(Sent::of(&headers(&[("authorization", "Bearer a"), ("authorization", "Basic a")])).is_err());
    }
}
