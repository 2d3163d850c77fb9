//! The zip container of `torch.save`: where each entry's bytes lie. Entries are stored, never compressed.
//!
//! Follows PKWARE's APPNOTE 6.3: end record, its 64-bit form, central directory, local headers. Read here rather than
//! by a crate because only offsets are needed, and every length is held against the file first.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;

use super::input::{cut_short, read_at, unreadable};
use crate::error::{Error, Result};

const END_LENGTH: usize = 22;
const END64_LOCATOR_LENGTH: u64 = 20;
const END64_LENGTH: usize = 56;
const ENTRY_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;
const MAX_COMMENT: u64 = 0xffff;
/// About two million entries; a checkpoint has one for each tensor.
const MAX_DIRECTORY: u64 = 128 << 20;

/// One entry of the central directory.
#[derive(Debug, Clone)]
struct Entry {
    header: u64,
    length: u64,
    /// Why its bytes cannot be used as they lie, if so.
    obstacle: Option<&'static str>,
}

/// The entries of a zip file.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    file: &'a File,
    /// Where the central directory begins: no entry reaches beyond.
    data_end: u64,
    entries: HashMap<String, Entry>,
}

impl<'a> Archive<'a> {
    /// Reads the central directory of `file`, which is `length` bytes long.
    pub fn open(file: &'a File, length: u64) -> Result<Self> {
        let (directory, count) = find_directory(file, length)?;
        if directory.end - directory.start > MAX_DIRECTORY {
            return Err(damaged("its directory is larger than any checkpoint's"));
        }
        let mut bytes = vec![0; (directory.end - directory.start) as usize];
        read_at(file, &mut bytes, directory.start).map_err(unreadable)?;
        let mut entries = HashMap::new();
        let mut rest = bytes.as_slice();
        for _ in 0..count {
            let (name, entry, after) = parse_entry(rest)?;
            rest = after;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(damaged(format!("it has the entry {name:?} twice")));
            }
        }
        Ok(Self { file, data_end: directory.start, entries })
    }

    /// Names of all entries, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Where the bytes of the entry `name` lie in the file; `None` if there is no such entry.
    pub fn locate(&self, name: &str) -> Result<Option<Range<u64>>> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        if let Some(obstacle) = entry.obstacle {
            return Err(Error::pack(format!(
                "entry {name:?} is {obstacle}, and torch only writes plain entries; unpack nothing, take the original file"
            )));
        }
        let beyond = || damaged(format!("entry {name:?} lies beyond the data"));
        let fixed = entry.header.checked_add(LOCAL_LENGTH as u64).ok_or_else(beyond)?;
        if fixed > self.data_end {
            return Err(beyond());
        }
        let mut local = [0; LOCAL_LENGTH];
        read_at(self.file, &mut local, entry.header).map_err(unreadable)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(damaged(format!("entry {name:?} has no header where the directory says")));
        }
        let names = u64::from(u16_at(&local, 26)?) + u64::from(u16_at(&local, 28)?);
        let start = fixed.checked_add(names).ok_or_else(beyond)?;
        let end = start.checked_add(entry.length).filter(|&end| end <= self.data_end).ok_or_else(beyond)?;
        Ok(Some(start..end))
    }

    /// The bytes of a small entry, if it is there.
    pub fn read(&self, name: &str, at_most: u64) -> Result<Option<Vec<u8>>> {
        let Some(range) = self.locate(name)? else {
            return Ok(None);
        };
        if range.end - range.start > at_most {
            return Err(damaged(format!("entry {name:?} is too long")));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        read_at(self.file, &mut bytes, range.start).map_err(unreadable)?;
        Ok(Some(bytes))
    }
}

/// Where the central directory lies and how many entries it has.
fn find_directory(file: &File, length: u64) -> Result<(Range<u64>, u64)> {
    let tail_length = length.min(MAX_COMMENT + END_LENGTH as u64);
    let tail_start = length - tail_length;
    let mut tail = vec![0; tail_length as usize];
    read_at(file, &mut tail, tail_start).map_err(unreadable)?;
    let found = tail.windows(END_LENGTH).rposition(|end| end.starts_with(b"PK\x05\x06"));
    let at = found.ok_or_else(cut_short)?;
    let end = tail.get(at..).unwrap_or_default();
    let end_offset = tail_start + at as u64;
    let mut count = u64::from(u16_at(end, 10)?);
    let mut size = u64::from(u32_at(end, 12)?);
    let mut start = u64::from(u32_at(end, 16)?);
    let mut limit = end_offset;
    if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
        let locator_offset = end_offset.checked_sub(END64_LOCATOR_LENGTH).ok_or_else(cut_short)?;
        let mut locator = [0; END64_LOCATOR_LENGTH as usize];
        read_at(file, &mut locator, locator_offset).map_err(unreadable)?;
        if locator.starts_with(b"PK\x06\x07") {
            let offset = u64_at(&locator, 8)?;
            if offset.checked_add(END64_LENGTH as u64).is_none_or(|end| end > locator_offset) {
                return Err(damaged("its 64-bit end record lies elsewhere"));
            }
            let mut end64 = [0; END64_LENGTH];
            read_at(file, &mut end64, offset).map_err(unreadable)?;
            if !end64.starts_with(b"PK\x06\x06") {
                return Err(damaged("it has no 64-bit end record where it says"));
            }
            (count, size, start, limit) = (u64_at(&end64, 32)?, u64_at(&end64, 40)?, u64_at(&end64, 48)?, offset);
        }
    }
    match start.checked_add(size) {
        Some(end) if end <= limit => Ok((start..end, count)),
        _ => Err(damaged("its directory lies beyond the file")),
    }
}

fn parse_entry(bytes: &[u8]) -> Result<(String, Entry, &[u8])> {
    let short = || damaged("its directory ends early");
    if !bytes.starts_with(b"PK\x01\x02") {
        return Err(damaged("its directory has something that is no entry"));
    }
    let (flags, method) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
    let mut packed = u64::from(u32_at(bytes, 20)?);
    let mut length = u64::from(u32_at(bytes, 24)?);
    let (name, extra, comment) = (u16_at(bytes, 28)?, u16_at(bytes, 30)?, u16_at(bytes, 32)?);
    let mut header = u64::from(u32_at(bytes, 42)?);
    let (name, rest) = bytes.get(ENTRY_LENGTH..).and_then(|b| b.split_at_checked(name.into())).ok_or_else(short)?;
    let (mut extra, rest) = rest.split_at_checked(extra.into()).ok_or_else(short)?;
    let rest = rest.get(usize::from(comment)..).ok_or_else(short)?;
    while extra.len() >= 4 {
        let (kind, size) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let (field, after) = extra[4..].split_at_checked(size).ok_or_else(short)?;
        extra = after;
        if kind == 1 {
            let mut at = 0;
            for value in [&mut length, &mut packed, &mut header] {
                if *value == 0xffff_ffff {
                    *value = u64_at(field, at)?;
                    at += 8;
                }
            }
        }
    }
    let obstacle = match method {
        _ if flags & 1 != 0 => Some("encrypted"),
        0 if packed != length => Some("of two different lengths"),
        0 => None,
        _ => Some("compressed"),
    };
    Ok((String::from_utf8_lossy(name).into_owned(), Entry { header, length, obstacle }, rest))
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::pack(format!("is a damaged zip file: {what}; download or copy it again"))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes.get(at..).and_then(|b| b.first_chunk::<N>()).copied().ok_or_else(|| damaged("a record ends early"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
