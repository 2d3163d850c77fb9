//! Reading of GGUF files: metadata and tensor locations, mapped, never copied.
//!
//! Follows the GGUF specification (versions 2 and 3, little endian). Nothing in the file is trusted: every count is
//! held against the bytes that are left before anything is allocated for it.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::WeightType;

const MAGIC: &[u8; 4] = b"GGUF";
/// Arrays of arrays are allowed by the format; no model uses more than two levels.
const MAX_ARRAY_DEPTH: u32 = 4;
const MAX_TENSOR_RANK: u32 = 4;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned or signed integer type of the format, and booleans as 0 or 1.
    Int(i128),
    /// A 32-bit or 64-bit float.
    Float(f64),
    /// A UTF-8 string.
    Text(String),
    /// Strings, for vocabulary and merges: where each lies in the file.
    TextArray(Vec<Range<usize>>),
    /// Integers or booleans.
    IntArray(Vec<i64>),
    /// Floats.
    FloatArray(Vec<f64>),
    /// An array of arrays, which no reader here needs.
    Skipped,
}

/// Where a tensor lies and how it is stored.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Extents as the file gives them: the contiguous one first (`[columns, rows]`).
    pub shape: Vec<usize>,
    /// The storage type.
    pub kind: WeightType,
    /// Bytes of the tensor within the file.
    pub bytes: Range<usize>,
}

/// A file mapped for reading, shared by all tensors that lie in it.
#[derive(Debug, Clone)]
pub struct MappedFile(Arc<Mmap>);

impl MappedFile {
    /// Maps `path`.
    ///
    /// # Errors
    /// `not_found` if there is no such file, `pack_invalid` if it cannot be mapped.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("there is no file {}; check the pack", path.display()))
            }
            _ => Error::pack(format!("cannot open {}: {e}", path.display())),
        })?;
        let regular = file.metadata().map(|m| m.is_file()).unwrap_or(false);
        if !regular {
            return Err(Error::pack(format!("{} is not a regular file", path.display())));
        }
        // SAFETY: the mapping is read-only and lives as long as the `Arc`. What the type system cannot see is another
        // process that changes the file meanwhile: overwritten bytes would show up as changed weights (every bit
        // pattern is a valid weight, and offsets were checked and copied at load), and shortening the file would end
        // the process with SIGBUS at the next access. Packs are installed once and replaced by renaming, not rewritten
        // in place; this is the price of sharing the weights' pages between processes.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|e| Error::new(map_failure(&e), format!("cannot map {} into memory: {e}", path.display())))?;
        Ok(Self(Arc::new(map)))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the pages that were looked at out of this process's memory. They come back, as a rule from the system's cache, when they are looked
    /// at again.
    #[allow(unsafe_code)]
    pub fn release_pages(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is of a file and is only read, so nothing in it is lost: whoever looks, now or later, sees the file's bytes.
            if let Err(error) = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) } {
                tracing::debug!(%error, "a file's pages stay in memory");
            }
        }
    }
}

fn map_failure(error: &std::io::Error) -> ErrorKind {
    if error.kind() == std::io::ErrorKind::OutOfMemory {
        ErrorKind::OutOfMemory
    } else {
        ErrorKind::PackInvalid
    }
}

/// A parsed GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    map: MappedFile,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
}

impl Gguf {
    /// Maps and parses `path`. The tensors' own bytes are not touched.
    ///
    /// # Errors
    /// `not_found` without a file, `pack_invalid` if it is not a GGUF file or is damaged; the message names the file,
    /// and the key or tensor.
    pub fn open(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path)?;
        let (metadata, tensors) = parse(map.bytes()).map_err(|e| e.context(path.display()))?;
        Ok(Self { path: path.to_owned(), map, metadata, tensors })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mapping.
    pub fn file(&self) -> &MappedFile {
        &self.map
    }

    /// Names of all tensors, in no order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor `name`, or `pack_invalid`.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::pack(format!("{}: tensor {name:?} is missing", self.path.display())))
    }

    /// The tensor `name` if the file has it.
    pub fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The metadata value of `key` if the file has it.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A non-negative integer, or `None` where the key is absent.
    pub fn uint(&self, key: &str) -> Result<Option<usize>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Int(v)) => usize::try_from(*v).map(Some).map_err(|_| self.wrong(key, "a non-negative integer")),
            Some(_) => Err(self.wrong(key, "an integer")),
        }
    }

    /// A float, or `None` where the key is absent.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(v)) => Ok(Some(*v)),
            Some(_) => Err(self.wrong(key, "a float")),
        }
    }

    /// A string, or `None` where the key is absent.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(v)) => Ok(Some(v)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    /// An array of strings, or `pack_invalid`.
    pub fn text_array(&self, key: &str) -> Result<Vec<&str>> {
        let Some(Value::TextArray(ranges)) = self.metadata.get(key) else {
            return Err(self.wrong(key, "an array of strings"));
        };
        ranges
            .iter()
            .map(|r| {
                let bytes = self.map.bytes().get(r.clone()).unwrap_or_default();
                std::str::from_utf8(bytes).map_err(|_| self.wrong(key, "UTF-8 strings"))
            })
            .collect()
    }

    fn wrong(&self, key: &str, wanted: &str) -> Error {
        Error::pack(format!("{}: metadata {key:?} is not {wanted}; the file is damaged", self.path.display()))
    }
}

type Contents = (HashMap<String, Value>, HashMap<String, TensorInfo>);

fn parse(bytes: &[u8]) -> Result<Contents> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(4).map_err(|_| not_gguf())? != MAGIC {
        return Err(not_gguf());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(Error::pack(format!("GGUF version {version} is not supported; versions 2 and 3 are")));
    }
    // The smallest tensor entry takes 24 bytes, the smallest key-value pair 13.
    let tensor_count = reader.count(24)?;
    let pair_count = reader.count(13)?;
    let mut metadata = HashMap::with_capacity(pair_count);
    for _ in 0..pair_count {
        let key = reader.text()?;
        let kind = reader.u32().map_err(|e| e.context(format!("metadata {key:?}")))?;
        let value = reader.value(kind, 0).map_err(|e| e.context(format!("metadata {key:?}")))?;
        metadata.insert(key, value);
    }
    let mut entries = Vec::with_capacity(tensor_count);
    for _ in 0..tensor_count {
        let name = reader.text()?;
        let entry = reader.tensor().map_err(|e| e.context(format!("tensor {name:?}")))?;
        entries.push((name, entry));
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::Int(v)) if *v > 0 && *v <= 1 << 20 => *v as usize,
        Some(_) => return Err(Error::pack("metadata \"general.alignment\" is not a sensible number")),
    };
    let data_start = reader.at.next_multiple_of(alignment);
    let mut tensors = HashMap::with_capacity(entries.len());
    for (name, (shape, kind, offset)) in entries {
        let range =
            locate(&shape, kind, offset, data_start, bytes.len()).map_err(|e| e.context(format!("tensor {name:?}")))?;
        tensors.insert(name, TensorInfo { shape, kind, bytes: range });
    }
    Ok((metadata, tensors))
}

fn locate(shape: &[usize], kind: WeightType, offset: u64, data_start: usize, file: usize) -> Result<Range<usize>> {
    let overflow = || Error::pack("its extents are not sensible; the file is damaged");
    let columns = shape.first().copied().unwrap_or(1);
    let rows = shape.iter().skip(1).try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(overflow)?;
    let row = kind.row_bytes(columns).ok_or_else(|| {
        Error::pack(format!("rows of {columns} do not fit the blocks of {kind:?}; the file is damaged"))
    })?;
    let size = row.checked_mul(rows).ok_or_else(overflow)?;
    let start = usize::try_from(offset).ok().and_then(|o| o.checked_add(data_start)).ok_or_else(overflow)?;
    let end = start.checked_add(size).ok_or_else(overflow)?;
    if end > file {
        return Err(Error::pack(format!(
            "it ends at byte {end}, the file at {file}: the file is cut short, fetch it again"
        )));
    }
    Ok(start..end)
}

fn not_gguf() -> Error {
    Error::pack("this is not a GGUF file; the pack's language model is missing or damaged")
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.bytes.len());
        let slice = end.and_then(|e| self.bytes.get(self.at..e)).ok_or_else(|| {
            Error::pack(format!(
                "the header asks for {n} bytes at {}, the file has {}: it is cut short or damaged, fetch it again",
                self.at,
                self.bytes.len()
            ))
        })?;
        self.at += n;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things that take at least `size` bytes each.
    fn count(&mut self, size: usize) -> Result<usize> {
        let n = self.u64()?;
        let left = (self.bytes.len() - self.at) / size.max(1);
        usize::try_from(n)
            .ok()
            .filter(|&n| n <= left)
            .ok_or_else(|| Error::pack(format!("a count of {n} is more than the file can hold: it is damaged")))
    }

    fn text_range(&mut self) -> Result<Range<usize>> {
        let n = self.count(1)?;
        let start = self.at;
        self.take(n)?;
        Ok(start..start + n)
    }

    fn text(&mut self) -> Result<String> {
        let range = self.text_range()?;
        let bytes = self.bytes.get(range).unwrap_or_default();
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Error::pack("a name in the header is not UTF-8: the file is damaged"))
    }

    /// An integer of type `kind`, or `None` if `kind` is not an integer type.
    fn int(&mut self, kind: u32) -> Result<Option<i128>> {
        Ok(Some(match kind {
            0 | 7 => i128::from(u8::from_le_bytes(self.array()?)),
            1 => i128::from(i8::from_le_bytes(self.array()?)),
            2 => i128::from(u16::from_le_bytes(self.array()?)),
            3 => i128::from(i16::from_le_bytes(self.array()?)),
            4 => i128::from(self.u32()?),
            5 => i128::from(i32::from_le_bytes(self.array()?)),
            10 => i128::from(self.u64()?),
            11 => i128::from(i64::from_le_bytes(self.array()?)),
            _ => return Ok(None),
        }))
    }

    fn float(&mut self, kind: u32) -> Result<f64> {
        Ok(match kind {
            6 => f64::from(f32::from_le_bytes(self.array()?)),
            _ => f64::from_le_bytes(self.array()?),
        })
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value> {
        if let Some(int) = self.int(kind)? {
            return Ok(Value::Int(int));
        }
        match kind {
            6 | 12 => Ok(Value::Float(self.float(kind)?)),
            8 => Ok(Value::Text(self.text()?)),
            9 if depth < MAX_ARRAY_DEPTH => self.value_array(depth),
            9 => Err(Error::pack("arrays nest too deep: the file is damaged")),
            other => Err(Error::pack(format!("value type {other} is unknown: the file is damaged"))),
        }
    }

    fn value_array(&mut self, depth: u32) -> Result<Value> {
        let kind = self.u32()?;
        let smallest = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            other => return Err(Error::pack(format!("array type {other} is unknown: the file is damaged"))),
        };
        let n = self.count(smallest)?;
        match kind {
            6 | 12 => (0..n).map(|_| self.float(kind)).collect::<Result<_>>().map(Value::FloatArray),
            8 => (0..n).map(|_| self.text_range()).collect::<Result<_>>().map(Value::TextArray),
            9 => {
                for _ in 0..n {
                    self.value(9, depth + 1)?;
                }
                Ok(Value::Skipped)
            }
            _ => {
                let mut out = Vec::with_capacity(n);
                for _ in 0..n {
                    out.push(self.int(kind)?.unwrap_or(0) as i64);
                }
                Ok(Value::IntArray(out))
            }
        }
    }

    fn tensor(&mut self) -> Result<(Vec<usize>, WeightType, u64)> {
        let rank = self.u32()?;
        if rank > MAX_TENSOR_RANK {
            return Err(Error::pack(format!("it has {rank} dimensions: the file is damaged")));
        }
        let mut shape = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            let extent = self.u64()?;
            shape.push(usize::try_from(extent).map_err(|_| Error::pack("an extent is too large"))?);
        }
        let code = self.u32()?;
        let kind = WeightType::from_ggml(code).ok_or_else(|| {
            Error::pack(format!(
                "its storage type {code} is not supported (F32, F16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K are)"
            ))
        })?;
        Ok((shape, kind, self.u64()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_pages_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let written: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &written).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(file.bytes(), written);
        file.release_pages();
        assert_eq!(file.bytes(), written);
    }
}
