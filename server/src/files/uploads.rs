//! What clients send: files without a name, so that nothing is left when this process ends, however it ends.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use emotion_llama_core::media::OpenFile;

use crate::config::{Config, ConfigError};
use crate::error::{ApiError, ApiResult};
use crate::work::sessions::random_id;
use emotion_llama_core::ErrorKind;

/// What our files are called for the moment in which they have a name, on file systems that know no unnamed ones.
const PREFIX: &str = ".tmp";
/// From this age on, in seconds, such a file belongs to a process that is gone.
const STALE: Duration = Duration::from_secs(60);
/// Most uploads that are kept by name; each holds a file open.
const MOST_KEPT: usize = 256;
/// Pieces are gathered to this many bytes before they are written.
const BLOCK: usize = 1 << 20;
/// So many of the longest clips inside JSON may be in memory together.
const INLINE_SIDE_BY_SIDE: u64 = 8;
/// Longest name of an upload.
const MAX_NAME: usize = 120;

/// All uploads.
#[derive(Debug)]
pub struct Uploads {
    dir: PathBuf,
    most: u64,
    most_total: u64,
    keep: Duration,
    total: Arc<AtomicU64>,
    inline: Arc<AtomicU64>,
    most_inline: u64,
    kept: Mutex<HashMap<String, (Instant, Upload)>>,
}

/// A clip that was sent. Its bytes are gone with the last clone.
#[derive(Debug, Clone)]
pub struct Upload(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: OpenFile,
    name: String,
    bytes: u64,
    digest: blake3::Hash,
    _share: Share,
}

/// A part of the bytes that all may have together. They are free again when it is dropped.
#[derive(Debug)]
pub struct Share {
    total: Arc<AtomicU64>,
    most: u64,
    bytes: u64,
}

impl Share {
    /// Takes so many more.
    ///
    /// # Errors
    /// `overloaded` when all together would have too many.
    pub fn grow(&mut self, bytes: u64) -> ApiResult<()> {
        self.bytes += bytes;
        if self.total.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.most {
            return Err(ApiError::overloaded("too many clips are being sent; try again in a moment", 5));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Upload {
    /// To be read.
    pub fn file(&self) -> OpenFile {
        self.0.file.clone()
    }

    /// What the client called it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// BLAKE3 of its content.
    pub fn digest(&self) -> blake3::Hash {
        self.0.digest
    }
}

impl Uploads {
    /// In the configured directory, where leftovers of earlier processes are removed.
    ///
    /// # Errors
    /// Names the directory that cannot be used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let usual = || std::env::temp_dir().join(format!("emotion-llama-{}", rustix::process::geteuid().as_raw()));
        let dir = config.files.upload_dir.clone().unwrap_or_else(usual);
        let wrong = |why: String| {
            ConfigError::new(format!(
                "the upload directory {} cannot be used: {why}; set files.upload_dir",
                dir.display()
            ))
        };
        prepare(&dir).map_err(|error| wrong(error.to_string()))?;
        remove_leftovers(&dir);
        tempfile::tempfile_in(&dir).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            most: config.limits.upload_bytes,
            most_total: config.files.upload_total_bytes,
            keep: Duration::from_secs_f64(config.files.keep_s),
            total: Arc::default(),
            inline: Arc::default(),
            most_inline: config.limits.inline_bytes.saturating_mul(INLINE_SIDE_BY_SIDE),
            kept: Mutex::default(),
            dir,
        })
    }

    /// An empty upload that is to be written.
    ///
    /// # Errors
    /// `internal` when no file can be made.
    pub async fn create(&self, name: &str) -> ApiResult<Writing> {
        let dir = self.dir.clone();
        let file = blocking(move || tempfile::tempfile_in(dir)).await?;
        Ok(Writing {
            file: Some(file),
            name: plain_name(name),
            pending: Vec::new(),
            hasher: blake3::Hasher::new(),
            most: self.most,
            share: Share { total: Arc::clone(&self.total), most: self.most_total, bytes: 0 },
        })
    }

    /// An upload of bytes that are there already.
    ///
    /// # Errors
    /// As [`Uploads::create`] and [`Writing::push`].
    pub async fn store(&self, name: &str, bytes: Vec<u8>) -> ApiResult<Upload> {
        let mut writing = self.create(name).await?;
        writing.push(bytes.into()).await?;
        writing.finish().await
    }

    /// Memory for a clip inside JSON.
    pub fn inline(&self) -> Share {
        Share { total: Arc::clone(&self.inline), most: self.most_inline, bytes: 0 }
    }

    /// Keeps `upload` for a while, and gives the path by which [`Uploads::kept`] finds it. There is no file of that name.
    ///
    /// # Errors
    /// `overloaded` when too many are kept.
    pub fn keep(&self, upload: Upload) -> ApiResult<String> {
        self.sweep();
        let id = random_id()?;
        let path = self.dir.join(id).join(upload.name()).to_string_lossy().into_owned();
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT {
            let oldest = kept.iter().min_by_key(|(_, (since, _))| *since).map(|(path, _)| path.clone());
            // Who uploaded it had the longest time to use it.
            kept.retain(|path, _| Some(path) != oldest.as_ref());
        }
        kept.insert(path.clone(), (Instant::now(), upload));
        Ok(path)
    }

    /// The upload that [`Uploads::keep`] gave this path.
    pub fn kept(&self, path: &str) -> Option<Upload> {
        self.lock().get(path).map(|(_, upload)| upload.clone())
    }

    /// Forgets what was kept long enough.
    pub fn sweep(&self) {
        self.lock().retain(|_, (since, _)| since.elapsed() < self.keep);
    }

    /// Bytes of all uploads.
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Upload)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that is being written.
#[derive(Debug)]
pub struct Writing {
    file: Option<File>,
    name: String,
    pending: Vec<u8>,
    hasher: blake3::Hasher,
    most: u64,
    share: Share,
}

impl Writing {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `media_too_large`; `overloaded` when all uploads together have too many bytes.
    pub async fn push(&mut self, piece: Bytes) -> ApiResult<()> {
        let length = piece.len() as u64;
        if self.share.bytes + length > self.most {
            return Err(too_large(self.most));
        }
        self.share.grow(length)?;
        self.hasher.update(&piece);
        self.pending.extend_from_slice(&piece);
        if self.pending.len() >= BLOCK {
            self.flush().await?;
        }
        Ok(())
    }

    /// The upload, complete.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub async fn finish(mut self) -> ApiResult<Upload> {
        self.flush().await?;
        let file = self.file.take().ok_or_else(|| ApiError::internal("an upload lost its file"))?;
        Ok(Upload(Arc::new(Inner {
            file: OpenFile::new(file, &self.name),
            bytes: self.share.bytes,
            digest: self.hasher.finalize(),
            name: self.name,
            _share: self.share,
        })))
    }

    async fn flush(&mut self) -> ApiResult<()> {
        let mut file = self.file.take().ok_or_else(|| ApiError::internal("an upload lost its file"))?;
        let pending = std::mem::take(&mut self.pending);
        let written = blocking(move || file.write_all(&pending).map(|()| file)).await;
        self.file = Some(written?);
        Ok(())
    }
}

/// The error of a clip with more bytes than the server takes.
pub fn too_large(most: u64) -> ApiError {
    ApiError::new(
        ErrorKind::MediaTooLarge,
        format!("the clip has more than {most} bytes, the most that this server takes; send a smaller one"),
    )
    .with_details(serde_json::json!({"max_bytes": most}))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?.map_err(|error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            tracing::error!(%error, "an upload could not be stored");
            ApiError::overloaded("the server has no room for uploads; try again later", 30)
        }
        _ => ApiError::internal(error),
    })
}

/// The last part of what a client calls its file, without what could be taken for something else.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    match kept.trim() {
        "" | "." | ".." => "clip".into(),
        plain => plain.into(),
    }
}

/// Makes the directory, for this user alone; one that is there must be that.
fn prepare(dir: &Path) -> std::io::Result<()> {
    let made = DirBuilder::new().recursive(false).mode(0o700).create(dir);
    match made {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return DirBuilder::new().recursive(true).mode(0o700).create(dir);
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let metadata = std::fs::symlink_metadata(dir)?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if is_ours && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(std::io::Error::other("it is there, but is no directory of this user alone"))
}

fn remove_leftovers(dir: &Path) {
    let now = SystemTime::now();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let age = entry
            .metadata()
            .ok()
            .and_then(|metadata| metadata.modified().ok())
            .and_then(|then| now.duration_since(then).ok());
        if is_ours && age.is_none_or(|age| age > STALE) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        config.files.upload_dir = Some(dir.to_path_buf());
        config.limits.upload_bytes = 100;
        config.files.upload_total_bytes = 150;
        config
    }

    async fn send(uploads: &Uploads, bytes: usize) -> ApiResult<Upload> {
        let mut writing = uploads.create("../../a\u{7} clip.mp4").await?;
        writing.push(vec![7; bytes / 2].into()).await?;
        writing.push(vec![7; bytes - bytes / 2].into()).await?;
        writing.finish().await
    }

    #[tokio::test]
    async fn uploads_have_no_name_on_disk_and_are_bounded_alone_and_together() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(&config(dir.path())).unwrap();
        let first = send(&uploads, 100).await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!((first.name(), first.bytes(), first.digest()), ("a clip.mp4", 100, blake3::hash(&[7; 100])));
        let mut content = Vec::new();
        first.file().reader().read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 100]);
        assert_eq!(send(&uploads, 101).await.unwrap_err().status.as_u16(), 413);
        assert_eq!(send(&uploads, 60).await.unwrap_err().status.as_u16(), 503);
        assert_eq!(uploads.total_bytes(), 100);
        let path = uploads.keep(first).unwrap();
        assert_eq!(uploads.kept(&path).unwrap().bytes(), 100);
        assert!(uploads.kept(&format!("{path}x")).is_none());
        uploads.lock().clear();
        assert_eq!(uploads.total_bytes(), 0);
    }

    #[test]
    fn leftovers_go_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        for name in [".tmpold", ".tmpnew", "other"] {
            let file = File::create(dir.path().join(name)).unwrap();
            if name != ".tmpnew" {
                file.set_modified(old).unwrap();
            }
        }
        remove_leftovers(dir.path());
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".tmpnew", "other"]);
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Uploads::new(&config(&open)).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(Uploads::new(&config(&link)).is_err());
        assert!(Uploads::new(&config(&dir.path().join("new/er"))).is_ok());
    }
}
