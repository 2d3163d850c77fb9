//! Which pages of other origins may call. HOOK (cors).

use std::sync::Arc;

use axum::Router;

use crate::state::App;

/// Puts the answers to preflight requests, and the headers, before `router`.
pub fn layer(router: Router<Arc<App>>, _app: &Arc<App>) -> Router<Arc<App>> {
    router
}
