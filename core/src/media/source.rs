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
    /// A file that was opened already, by someone who saw to it that it may be read.
    File(OpenFile),
}

/// A file that is open. Clones share it, and each reads from its start.
#[derive(Debug, Clone)]
pub struct OpenFile {
    file: Arc<File>,
    name: PathBuf,
}

impl OpenFile {
    /// `file`, which messages call `name`.
    pub fn new(file: File, name: impl Into<PathBuf>) -> Self {
        Self { file: Arc::new(file), name: name.into() }
    }

    /// What messages call it.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// A reader of its own at the start.
    pub fn reader(&self) -> FileReader {
        FileReader { file: Arc::clone(&self.file), position: 0 }
    }

    /// What the system says of it now.
    ///
    /// # Errors
    /// As the system gives them.
    pub fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file.metadata()
    }
}

/// Reads an [`OpenFile`] at a position of its own.
#[derive(Debug)]
pub struct FileReader {
    file: Arc<File>,
    position: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(self.file.as_ref(), buffer, self.position)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(self.file.as_ref(), buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.file.metadata()?.len(), offset),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the start of the file");
        self.position = base.checked_add_signed(offset).ok_or_else(before)?;
        Ok(self.position)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::File(file) => f.debug_tuple("File").field(&file.name).finish(),
            Source::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::File(file) => write!(f, "{}", file.name.display()),
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

impl From<OpenFile> for Source {
    fn from(file: OpenFile) -> Self {
        Source::File(file)
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
            Source::Path(path) => regular_length(&std::fs::metadata(path).map_err(read_error)?)?,
            Source::File(file) => regular_length(&file.metadata().map_err(read_error)?)?,
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
            Source::File(file) => Content::Shared(file.reader()),
        };
        Ok(Reader { content, cancel: cancel.clone() })
    }
}

fn regular_length(metadata: &std::fs::Metadata) -> Result<u64> {
    if metadata.is_dir() {
        return Err(Error::invalid_argument("this is a directory; give the path of a media file"));
    }
    if !metadata.is_file() {
        return Err(Error::invalid_argument(
            "this is not a regular file; give the path of a media file, or read it and pass the bytes",
        ));
    }
    Ok(metadata.len())
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
    Shared(FileReader),
    Bytes(Cursor<Arc<[u8]>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Shared(file) => file.read(buffer),
            Content::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match &mut self.content {
            Content::File(file) => file.seek(position),
            Content::Shared(file) => file.seek(position),
            Content::Bytes(bytes) => bytes.seek(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn readers_of_one_open_file_do_not_disturb_each_other() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let open = OpenFile::new(file, "clip.mp4");
        let (mut one, mut two) = (open.reader(), open.clone().reader());
        let mut text = String::new();
        assert_eq!(one.seek(SeekFrom::End(-3)).unwrap(), 7);
        two.read_to_string(&mut text).unwrap();
        one.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123456789789");
        assert!(one.seek(SeekFrom::Current(-11)).is_err());
        assert_eq!(Source::from(open).to_string(), "clip.mp4");
    }
}
