//! Answers that are kept, and equal requests that run once.

use std::sync::Arc;

use super::ask::{compute, Answer, Ask};
use super::job::Reader;
use crate::config;
use crate::error::ApiResult;
use crate::state::App;

/// The cache.
#[derive(Debug)]
pub struct Cache {}

impl Cache {
    /// An empty one.
    pub fn new(_config: &config::Cache) -> Self {
        Self {}
    }

    /// A kept answer, a running one, or a new one.
    ///
    /// # Errors
    /// As [`compute`].
    pub async fn answer(&self, app: &Arc<App>, ask: Ask) -> ApiResult<Reader<Answer>> {
        // HOOK (cache): look up by content hash, question and pack digest; single flight through `Reader::door`.
        compute(app, ask)
    }
}
