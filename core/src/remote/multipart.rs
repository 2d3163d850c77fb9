//! A request's body as `multipart/form-data` (RFC 7578), read from disk while it is sent.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::media::{Limits, OpenFile, Source};

/// A clip that is sent.
#[derive(Debug, Clone)]
pub(super) struct Media {
    name: String,
    content: Content,
    length: u64,
}

#[derive(Clone)]
enum Content {
    File(PathBuf),
    Open(OpenFile),
    Bytes(Arc<[u8]>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::File(path) => f.debug_tuple("File").field(path).finish(),
            Content::Open(file) => f.debug_tuple("Open").field(&file.name()).finish(),
            Content::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl Media {
    /// The bytes of `source`, checked against `limits`; None for a path that is no regular file which can be read here.
    ///
    /// # Errors
    /// `media_undecodable` for an empty one, `media_too_large`.
    pub fn of(source: &Source, limits: &Limits) -> Result<Option<Self>> {
        let media = match source {
            Source::Bytes(bytes) => Self {
                name: format!("clip{}", extension(bytes)),
                length: bytes.len() as u64,
                content: Content::Bytes(Arc::clone(bytes)),
            },
            Source::Path(path) => {
                let Some(length) = readable_length(path) else { return Ok(None) };
                Self { name: file_name(path), content: Content::File(path.clone()), length }
            }
            Source::File(file) => {
                let length = file.reader().seek(io::SeekFrom::End(0)).unwrap_or_default();
                Self { name: file_name(file.name()), content: Content::Open(file.clone()), length }
            }
        };
        source.check(limits).map_err(|error| error.context(source))?;
        Ok(Some(media))
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match &self.content {
            Content::File(path) => Box::new(Exactly { file: File::open(path)?, left: self.length }),
            Content::Open(file) => Box::new(Exactly { file: file.reader(), left: self.length }),
            Content::Bytes(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
        })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "clip".into(), |name| name.to_string_lossy().into_owned())
}

fn readable_length(path: &Path) -> Option<u64> {
    // A FIFO would be waited for when it is opened.
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let metadata = File::open(path).ok().filter(|_| is_file)?.metadata().ok()?;
    Some(metadata.len())
}

/// A file whose length was told: not a byte more, and an error when there are fewer.
struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file became shorter while it was sent"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The usual ending of a file that begins as `bytes`: published servers go by it.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ".mkv",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => ".mp4",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => ".avi",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => ".wav",
        [0xff, 0xd8, 0xff, ..] => ".jpg",
        [0x89, b'P', b'N', b'G', ..] => ".png",
        [b'F', b'L', b'V', ..] => ".flv",
        _ => "",
    }
}

/// Fields of a form, the last of them a file.
#[derive(Debug, Clone)]
pub(super) struct Multipart {
    boundary: String,
    head: Vec<u8>,
    media: Media,
    tail: Vec<u8>,
}

impl Multipart {
    /// The JSON fields `fields`, then `media` as the field `name`.
    pub fn new(fields: &[(&str, &str)], name: &str, media: Media) -> Self {
        // No content can foresee it.
        let random = || RandomState::new().hash_one(std::time::SystemTime::now());
        let boundary = format!("emotion-llama-{:016x}{:016x}", random(), random());
        let mut head = String::new();
        for (field, json) in fields {
            head += &format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\nContent-Type: application/json\r\n\r\n{json}\r\n"
            );
        }
        let file_name = media.name.replace('"', "%22").replace(['\r', '\n', '\0'], "_");
        head += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        Self { head: head.into_bytes(), media, tail, boundary }
    }

    /// The Content-Type.
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.media.length + self.tail.len() as u64
    }

    /// The body from its start.
    pub fn reader(&self) -> Result<impl Read + 'static> {
        let media =
            self.media.open().map_err(|error| Error::invalid_argument(format!("the clip cannot be read: {error}")))?;
        Ok(Cursor::new(self.head.clone()).chain(media).chain(Cursor::new(self.tail.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_a_field_and_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a\"b.mp4");
        std::fs::write(&path, "MEDIA").unwrap();
        let media = Media::of(&Source::from(path.as_path()), &Limits::default()).unwrap().unwrap();
        let form = Multipart::new(&[("request", "{\"a\":1}")], "media", media);
        let mut body = String::new();
        form.reader().unwrap().read_to_string(&mut body).unwrap();
        assert_eq!(body.len() as u64, form.length());
        let b = &form.boundary;
        assert_eq!(
            body,
            format!(
                "--{b}\r\nContent-Disposition: form-data; name=\"request\"\r\nContent-Type: application/json\r\n\r\n{{\"a\":1}}\r\n\
                 --{b}\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a%22b.mp4\"\r\nContent-Type: application/octet-stream\
                 \r\n\r\nMEDIA\r\n--{b}--\r\n"
            )
        );
        std::fs::write(&path, "MED").unwrap();
        let error = form.reader().unwrap().read_to_string(&mut body).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
        std::fs::write(&path, "MEDIA and more").unwrap();
        body.clear();
        form.reader().unwrap().read_to_string(&mut body).unwrap();
        assert_eq!(body.len() as u64, form.length());
    }

    #[test]
    fn what_cannot_be_sent() {
        let of = |source: Source| Media::of(&source, &Limits { max_bytes: Some(3), ..Limits::default() });
        assert!(of("/nonexistent/a.mp4".into()).unwrap().is_none());
        assert!(of("/".into()).unwrap().is_none());
        assert_eq!(of(Vec::new().into()).unwrap_err().name(), "media_undecodable");
        assert_eq!(of(vec![1u8; 4].into()).unwrap_err().name(), "media_too_large");
        assert_eq!(of(b"RIFF".to_vec().into()).unwrap_err().name(), "media_too_large");
    }
}
