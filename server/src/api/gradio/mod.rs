//! Gradio's protocol. HOOK (gradio).

use std::sync::Arc;

use axum::Router;

use crate::state::App;

/// Its paths.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
