//! What is counted, for Prometheus. HOOK (metrics).

use std::sync::Arc;

use axum::Router;

use crate::state::App;

/// The counters.
#[derive(Debug)]
pub struct Metrics {}

impl Metrics {
    /// All at zero.
    #[allow(clippy::new_without_default, reason = "it will take a registry")]
    pub fn new() -> Self {
        Self {}
    }
}

/// `/metrics`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}

/// Counts every call.
pub fn layer(router: Router<Arc<App>>, _app: &Arc<App>) -> Router<Arc<App>> {
    router
}
