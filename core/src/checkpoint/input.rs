//! Positioned reading of a part of a file, each length held against the bytes that are left.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Error, Result};

/// Fills `buffer` with the bytes of `file` from `offset` on, without moving any cursor.
///
/// # Errors
/// What the system says; `UnexpectedEof` if the file ends before.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match read_some(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Bytes `position..end` of a file.
#[derive(Debug)]
pub(super) struct Section<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let count = read_some(self.file, &mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// A reader that knows where it is and how many bytes are left.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    position: u64,
    left: u64,
}

impl<'a> Input<BufReader<Section<'a>>> {
    /// Over `length` bytes of `file` from `offset` on; the caller has checked that they are there.
    pub fn section(file: &'a File, offset: u64, length: u64) -> Self {
        let section = Section { file, position: offset, end: offset.saturating_add(length) };
        Self { reader: BufReader::with_capacity(1 << 16, section), position: offset, left: length }
    }
}

impl<R: BufRead> Input<R> {
    /// Offset within the file of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes can still be read.
    pub fn left(&self) -> u64 {
        self.left
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `count` bytes; allocates no more than the file holds.
    pub fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > self.left {
            return Err(cut_short());
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| cut_short())?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Up to the next line feed, which is read but not returned.
    pub fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let count = (&mut self.reader).take(self.left).read_until(b'\n', &mut line).map_err(unreadable)? as u64;
        self.position += count;
        self.left -= count;
        match line.pop() {
            Some(b'\n') => Ok(line),
            _ => Err(cut_short()),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let count = bytes.len() as u64;
        if count > self.left {
            return Err(cut_short());
        }
        self.reader.read_exact(bytes).map_err(unreadable)?;
        self.position += count;
        self.left -= count;
        Ok(())
    }
}

/// The error of a file that ends too early.
pub(super) fn cut_short() -> Error {
    Error::pack("ends in the middle: the file is cut short or damaged; download or copy it again")
}

/// The error of a read that failed.
pub(super) fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return cut_short();
    }
    Error::pack(format!("cannot be read: {error}"))
}
