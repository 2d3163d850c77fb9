//! Where the bytes come from.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Limits;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// An input: a file of this machine, or the bytes of one.
#[derive(Clone)]
pub enum Source {
    /// A local file. Never read as a URL.
    Path(PathBuf),
    /// The content of a file.
    Bytes(Arc<[u8]>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Bytes(bytes) => write!(f, "the given {} bytes", bytes.len()),
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Source::Path(path)
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Source::Path(path.to_path_buf())
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Source::Path(PathBuf::from(path))
    }
}

impl From<Arc<[u8]>> for Source {
    fn from(bytes: Arc<[u8]>) -> Self {
        Source::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Source::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Source {
    fn from(bytes: &[u8]) -> Self {
        Source::Bytes(bytes.into())
    }
}

impl Source {
    /// Fails for what cannot be media whatever its content is: missing, a directory or device, empty, or above the byte limit.
    pub(crate) fn check(&self, limits: &Limits) -> Result<()> {
        let bytes = match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Path(path) => {
                let metadata = std::fs::metadata(path).map_err(read_error)?;
                if metadata.is_dir() {
                    return Err(Error::invalid_argument("this is a directory; give the path of a media file"));
                }
                if !metadata.is_file() {
                    return Err(Error::invalid_argument(
                        "this is not a regular file; give the path of a media file, or read it and pass the bytes",
                    ));
                }
                metadata.len()
            }
        };
        if bytes == 0 {
            return Err(Error::undecodable(
                "the input is empty (0 bytes); check that it was written or sent completely",
            ));
        }
        limits.check_bytes(bytes)
    }

    /// A reader at the start of the content, whose reads fail once `cancel` is set.
    pub(super) fn open(&self, cancel: &CancelToken) -> Result<Reader> {
        let content = match self {
            Source::Bytes(bytes) => Content::Bytes(Cursor::new(Arc::clone(bytes))),
            Source::Path(path) => Content::File(File::open(path).map_err(read_error)?),
        };
        Ok(Reader { content, cancel: cancel.clone() })
    }
}

fn read_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::not_found("there is no such file; check the path")
        }
        io::ErrorKind::PermissionDenied => {
            Error::invalid_argument("the file may not be read (permission denied); check its access rights")
        }
        _ => Error::invalid_argument(format!("the file cannot be read ({error}); check the path")),
    }
}

/// The content of a [`Source`] as a stream.
pub(super) struct Reader {
    content: Content,
    cancel: CancelToken,
}

enum Content {
    File(File),
    Bytes(Cursor<Arc<[u8]>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match &mut self.content {
            Content::File(file) => file.seek(position),
            Content::Bytes(bytes) => bytes.seek(position),
        }
    }
}
