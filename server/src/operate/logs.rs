//! One line for each call, without what clients send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::Response;
use axum::Router;
use emotion_llama_core::ErrorKind;
use hyper::body::{Frame, SizeHint};
use tracing::{Instrument, Subscriber};
use tracing_subscriber::fmt::MakeWriter;

use super::metrics::{method, route};
use crate::client::Client;
use crate::config;
use crate::state::App;
use crate::work::sessions::random_id;

/// The header with a request's name, which clients and proxies may give.
const ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken over.
const LONGEST_ID: usize = 64;

/// Begins logging, as set, to standard error. A second call has no effect.
pub fn init(log: &config::Log) {
    let _ = tracing::subscriber::set_global_default(subscriber(log, io::stderr));
}

/// What logs as set, to `writer`.
pub fn subscriber<W>(log: &config::Log, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter).unwrap_or_else(|_| "info".into());
    // Its traces hold every byte that is sent.
    let filter = match "ureq_proto=error".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match log.format {
        config::LogFormat::Text => Box::new(logs.finish()),
        config::LogFormat::Json => Box::new(logs.json().flatten_event(true).with_span_list(false).finish()),
    }
}

/// What is said of a call at its end.
struct Line {
    app: Arc<App>,
    span: tracing::Span,
    id: String,
    method: &'static str,
    route: Arc<str>,
    /// Of the whole request, only where content may be logged.
    path: Option<String>,
    began: Instant,
    client: Client,
    status: StatusCode,
    code: Option<ErrorKind>,
    head_ms: Option<f64>,
    bytes: u64,
    is_complete: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let ms = milliseconds(self.began);
        // The answer was never begun, or not sent to its end: the client went away.
        let is_left = !self.is_complete && !self.app.is_stopping();
        tracing::info!(
            target: "emotion_llama_server::access",
            request_id = %self.id,
            key = self.client.name.as_deref(),
            address = %self.client.address,
            method = self.method,
            route = %self.route,
            path = self.path.as_deref(),
            status = self.head_ms.map(|_| self.status.as_u16()),
            code = self.code.map(ErrorKind::name),
            head_ms = self.head_ms,
            ms,
            bytes = self.bytes,
            left = is_left.then_some(true),
            "call"
        );
    }
}

/// An answer's body that logs the call when it ends.
struct Logged {
    body: Body,
    line: Line,
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(None) => self.line.is_complete = true,
            _ => {}
        }
        if self.body.is_end_stream() {
            self.line.is_complete = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn log(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let value = HeaderValue::try_from(&id).unwrap_or(HeaderValue::from_static("unknown"));
    request.headers_mut().insert(ID, value.clone());
    let span = tracing::info_span!("request", id = %id);
    let mut line = Line {
        span: span.clone(),
        method: method(request.method()),
        route: route(&request),
        path: app.config.log.content.then(|| request.uri().path().to_owned()),
        client: Client::of(request.extensions()),
        began: Instant::now(),
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: None,
        head_ms: None,
        bytes: 0,
        is_complete: false,
        app,
        id,
    };
    let mut response = next.run(request).instrument(span).await;
    line.head_ms = Some(milliseconds(line.began));
    line.status = response.status();
    line.code = response.extensions().get::<ErrorKind>().copied();
    if let Some(client) = response.extensions().get::<Client>() {
        line.client = client.clone();
    }
    response.headers_mut().insert(ID, value);
    response.map(|body| {
        line.is_complete = body.is_end_stream();
        Body::new(Logged { body, line })
    })
}

/// The name that the request brings along, if it is a plain one, or a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(&ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    given.filter(is_plain).map(str::to_owned).or_else(|| random_id().ok()).unwrap_or_default()
}

fn milliseconds(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// Logs every call.
pub fn layer(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(Arc::clone(app), log))
}
