//! Which files are read, and where uploads lie.

pub mod roots;
pub mod uploads;

use axum::http::HeaderMap;
use emotion_llama_core::media::OpenFile;

use crate::client::Client;
use crate::config::{Config, ConfigError};
use crate::error::{ApiError, ApiResult};
use roots::Roots;
use uploads::{Upload, Uploads};

/// All of them.
#[derive(Debug)]
pub struct Files {
    roots: Roots,
    /// What clients sent.
    pub uploads: Uploads,
}

/// A clip that a path led to.
#[derive(Debug, Clone)]
pub struct Found {
    /// The file.
    pub file: OpenFile,
    /// The upload that it is, if it is one.
    pub upload: Option<Upload>,
}

impl Files {
    /// As configured.
    ///
    /// # Errors
    /// Names the directory that cannot be used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self { roots: Roots::open(&config.files.media_roots)?, uploads: Uploads::new(config)? })
    }

    /// The file that `path` names: an upload that is kept, a file below one of the roots, or, for clients on this machine where there is no
    /// root, any file. Opened here, so that what is checked is what is read.
    ///
    /// # Errors
    /// `invalid_argument` for what is no path, and for clients that may name none; `not_found`, also for what lies elsewhere.
    pub fn find(&self, path: &str, client: &Client, headers: &HeaderMap) -> ApiResult<Found> {
        roots::check(path)?;
        if let Some(upload) = self.uploads.kept(path) {
            return Ok(Found { file: upload.file(), upload: Some(upload) });
        }
        let file = if !self.roots.is_empty() {
            self.roots.find(path)?
        } else if client.is_local(headers) {
            roots::open_anywhere(path)?
        } else {
            return Err(ApiError::invalid(
                "this server reads no paths for clients of other machines; upload the clip, or start the server with --media-root",
            ));
        };
        Ok(Found { file, upload: None })
    }

    /// Whether paths work for clients on this machine alone.
    pub fn is_local_only(&self) -> bool {
        self.roots.is_empty()
    }

    /// Forgets uploads that were kept long enough.
    pub fn sweep(&self) {
        self.uploads.sweep();
    }
}
