//! Who may call, and how often. HOOK (access): keys, tokens, rates, address rules.

use std::sync::Arc;

use axum::Router;

use crate::config::{Config, ConfigError};
use crate::state::App;

/// Keys, tokens and rates.
#[derive(Debug)]
pub struct Access {}

impl Access {
    /// As configured.
    ///
    /// # Errors
    /// Names the file or setting that cannot be used.
    pub fn new(_config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

/// Puts the checks before `router`: they run before every call, and set the caller's name and address in the extension
/// [`Client`](crate::client::Client).
pub fn layer(router: Router<Arc<App>>, _app: &Arc<App>) -> Router<Arc<App>> {
    router
}
