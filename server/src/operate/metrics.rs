//! What is counted, for Prometheus.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{header, Method, StatusCode};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::Router;
use emotion_llama_core::analysis::Analysis;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::error::ApiError;
use crate::state::App;

/// Upper bounds of seconds that calls and stages are sorted by.
const SECONDS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// What a path that is none of ours is counted as.
const OTHER: &str = "other";

/// Whether an answer was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// In this server's memory.
    Memory,
    /// In the store that several servers share.
    Shared,
    /// It is being computed for somebody else.
    Running,
    /// Nowhere.
    Miss,
}

impl Lookup {
    const ALL: [Lookup; 4] = [Lookup::Memory, Lookup::Shared, Lookup::Running, Lookup::Miss];

    fn name(self) -> &'static str {
        match self {
            Lookup::Memory => "memory",
            Lookup::Shared => "shared",
            Lookup::Running => "running",
            Lookup::Miss => "miss",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    in_flight: IntGauge,
    stage_seconds: HistogramVec,
    tokens: IntCounterVec,
    lookups: IntCounterVec,
    store_errors: IntCounter,
    refused: IntGauge,
    waiting: IntGauge,
    running: IntGauge,
    sessions: IntGauge,
    upload_bytes: IntGauge,
    cache_bytes: IntGauge,
    cache_entries: IntGauge,
    uptime: IntGauge,
    ready: IntGauge,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// Never: the names are constants, each is there once, and a test registers them.
    #[allow(clippy::new_without_default, reason = "it does more than to be empty")]
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some("emotion_llama".into()), None).expect("a prefix that is a name");
        let add = |metric: Box<dyn prometheus::core::Collector>| {
            registry.register(metric).expect("metrics with different names");
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("names of metrics and labels");
            add(Box::new(counters.clone()));
            counters
        };
        let histograms = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.into());
            let histograms = HistogramVec::new(options, labels).expect("names of metrics and labels");
            add(Box::new(histograms.clone()));
            histograms
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("the name of a metric");
            add(Box::new(gauge.clone()));
            gauge
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name of a metric");
            add(Box::new(counter.clone()));
            counter
        };
        let metrics = Self {
            requests: counters("http_requests_total", "Calls that were answered.", &["route", "method", "status"]),
            request_seconds: histograms(
                "http_request_seconds",
                "Seconds from the head of a request to the head of its answer.",
                &["route"],
            ),
            in_flight: gauge("http_requests_in_flight", "Calls whose answer has not begun."),
            stage_seconds: histograms(
                "stage_seconds",
                "Seconds of the stages of analyses that were computed, not of those from the cache.",
                &["stage"],
            ),
            tokens: counters(
                "tokens_total",
                "Tokens that the language model read, wrote, and did not read again.",
                &["kind"],
            ),
            lookups: counters(
                "cache_lookups_total",
                "Where answers were found: memory, shared, running (computed for another call), or miss.",
                &["result"],
            ),
            store_errors: counter("cache_store_errors_total", "Calls of the shared store that failed."),
            refused: gauge("queue_refused_total", "Analyses that were refused because the queue was full."),
            waiting: gauge("queue_waiting", "Analyses that wait for their turn."),
            running: gauge("queue_running", "Analyses that are being computed."),
            sessions: gauge("sessions", "Conversations that are open."),
            upload_bytes: gauge("upload_bytes", "Bytes of all uploads that are there."),
            cache_bytes: gauge("cache_bytes", "Bytes of answers in memory."),
            cache_entries: gauge("cache_entries", "Answers in memory."),
            uptime: gauge("uptime_seconds", "Seconds since the server began."),
            ready: gauge("ready", "1 when the model is loaded."),
            registry,
        };
        // So that rates can be taken from the beginning.
        Lookup::ALL.iter().for_each(|result| metrics.lookups.with_label_values(&[result.name()]).inc_by(0));
        ["prompt", "completion", "cached"].iter().for_each(|kind| metrics.tokens.with_label_values(&[kind]).inc_by(0));
        metrics
    }

    /// Counts an analysis that was computed.
    pub fn analysis(&self, analysis: &Analysis) {
        let (usage, times) = (&analysis.usage, &analysis.timings_ms);
        for (kind, tokens) in
            [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens), ("cached", usage.cached_tokens)]
        {
            self.tokens.with_label_values(&[kind]).inc_by(tokens as u64);
        }
        for (stage, milliseconds) in [
            ("decode", times.decode),
            ("preprocess", times.preprocess),
            ("encode", times.encode),
            ("prefill", times.prefill),
            ("generate", times.generate),
            ("total", times.total),
        ] {
            self.stage_seconds.with_label_values(&[stage]).observe(milliseconds / 1e3);
        }
    }

    /// Counts where an answer was found.
    pub fn lookup(&self, result: Lookup) {
        self.lookups.with_label_values(&[result.name()]).inc();
    }

    /// How many answers were found there.
    pub fn lookups(&self, result: Lookup) -> u64 {
        self.lookups.with_label_values(&[result.name()]).get()
    }

    /// Counts a failed call of the shared store.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// All figures as Prometheus reads them.
    ///
    /// # Errors
    /// When they cannot be written, which is a defect.
    fn text(&self, app: &App) -> Result<String, prometheus::Error> {
        let gauge = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let queue = app.queue.snapshot();
        gauge(&self.waiting, queue.waiting as u64);
        gauge(&self.running, queue.running as u64);
        gauge(&self.refused, queue.refused);
        gauge(&self.sessions, app.sessions.count() as u64);
        gauge(&self.upload_bytes, app.files.uploads.total_bytes());
        let (entries, bytes) = app.cache.size();
        gauge(&self.cache_entries, entries);
        gauge(&self.cache_bytes, bytes);
        gauge(&self.uptime, app.began.elapsed().as_secs());
        gauge(&self.ready, u64::from(app.engine().is_ok()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// `/metrics`.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(show))
}

async fn show(State(app): State<Arc<App>>) -> Response {
    if !app.config.metrics.enabled {
        return (StatusCode::NOT_FOUND, "metrics.enabled is false").into_response();
    }
    match app.metrics.text(&app) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// The route that a call took, with names where its path has values; calls without a route are one.
pub fn route(request: &Request) -> Arc<str> {
    request.extensions().get::<MatchedPath>().map_or_else(|| OTHER.into(), |path| path.as_str().into())
}

/// The method's name; those that nobody takes are one, as clients may invent them.
pub fn method(method: &Method) -> &'static str {
    [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PUT, Method::PATCH]
        .iter()
        .find(|known| *known == method)
        .map_or(OTHER, |known| match known.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "DELETE" => "DELETE",
            "HEAD" => "HEAD",
            "OPTIONS" => "OPTIONS",
            "PUT" => "PUT",
            _ => "PATCH",
        })
}

/// Counts down when it is dropped: also when the client goes away before its answer begins.
struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (route, method, began) = (route(&request), method(request.method()), Instant::now());
    let metrics = &app.metrics;
    metrics.in_flight.inc();
    let in_flight = InFlight(metrics.in_flight.clone());
    let response = next.run(request).await;
    drop(in_flight);
    metrics.requests.with_label_values(&[&*route, method, response.status().as_str()]).inc();
    metrics.request_seconds.with_label_values(&[&*route]).observe(began.elapsed().as_secs_f64());
    response
}

/// Counts every call.
pub fn layer(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(Arc::clone(app), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let metrics = Metrics::new();
        metrics.analysis(&Analysis::default());
        metrics.lookup(Lookup::Miss);
        assert_eq!((metrics.lookups(Lookup::Miss), metrics.lookups(Lookup::Memory)), (1, 0));
        let names: Vec<_> = metrics.registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert!(names.iter().all(|name| name.starts_with("emotion_llama_")), "{names:?}");
        assert!(names.contains(&"emotion_llama_stage_seconds".to_owned()));
    }

    #[test]
    fn methods_that_clients_invent_are_one() {
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), OTHER);
        assert_eq!((method(&Method::GET), method(&Method::PATCH)), ("GET", "PATCH"));
    }
}
