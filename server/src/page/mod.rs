//! The page at `/`. HOOK (page).

use std::sync::Arc;

use axum::Router;

use crate::state::App;

/// `/` and what it needs.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
