//! PyTorch and safetensors checkpoints, read as data.
//!
//! [`Checkpoint::open`] takes a file of `torch.save` (`.pth`, `.pt`, `.bin`; also the form before torch 1.6), a
//! `.safetensors` file, or a Hugging Face folder. A pickle is never run: its calls are looked up in a fixed list and become
//! data, anything else is refused by name. Nothing in a file is trusted; every length is held against the bytes that are there.

mod globals;
mod graph;
mod input;
mod object;
mod pickle;
mod safetensors;
mod shards;
mod sniff;
mod torch;
mod tree;
mod values;
mod zip;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub use object::Object;

use crate::error::{Error, ErrorKind, Result};
use tree::Tensors;

/// How a tensor's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float (IEEE half).
    F16,
    /// 16-bit float (bfloat16).
    Bf16,
    /// 64-bit float.
    F64,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// Boolean, one byte.
    Bool,
}

impl Dtype {
    /// Bytes of one value.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }
}

/// One tensor: its shape and where it lies.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    /// Extents, slowest axis first; empty for a single value.
    pub shape: Vec<usize>,
    /// How the values are stored.
    pub dtype: Dtype,
    source: usize,
    /// Byte offset in the file of the first value.
    offset: u64,
    /// Values from one index to the next, for each axis.
    strides: Vec<usize>,
}

/// A file that stays open, so that what was checked is what is read.
#[derive(Debug)]
struct Source {
    file: File,
    path: PathBuf,
}

/// An opened checkpoint: names, shapes and places; values are read when asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<PathBuf>,
    sources: Vec<Source>,
    objects: Object,
    tensors: Tensors,
}

impl Checkpoint {
    /// Opens a file of `torch.save`, a safetensors file, or a Hugging Face folder (`model.safetensors`, its index, `pytorch_model.bin`,
    /// its index: the first that is there). The kind is told from the content, not from the name.
    ///
    /// # Errors
    /// `not_found` if the path or a shard is not there; `pack_invalid` naming file and cause if it is cut short,
    /// damaged, something else than a checkpoint (a Git LFS pointer, a web page), or asks for code to be run.
    pub fn open(path: &Path) -> Result<Self> {
        if metadata(path)?.is_dir() {
            shards::open(path)
        } else {
            Self::open_files(path, vec![path.to_owned()])
        }
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that was read (an index of shards first), for provenance.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The tensors' names in the order of the file: dictionary keys and list positions on the way, joined with dots.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor `name`, if it is there.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.get(name)
    }

    /// All values of the tensor `name` as `f32`, row-major, whatever the order in the file. Integers and 64-bit floats are rounded to
    /// the nearest, booleans are 0 and 1.
    ///
    /// # Errors
    /// `not_found` if there is no such tensor; `pack_invalid` if the file can no longer be read; `out_of_memory`.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || Error::not_found(format!("{}: has no tensor {name:?}", self.path.display()));
        let entry = self.tensors.get(name).ok_or_else(missing)?;
        let source = self.sources.get(entry.source).ok_or_else(missing)?;
        values::read(&source.file, entry).map_err(|e| e.context(format!("{}: tensor {name:?}", source.path.display())))
    }

    /// What is stored under a dotted path ("config.model.lora_r", "args.model", "epoch"), see [`Object::get`].
    pub fn value(&self, path: &str) -> Option<&Object> {
        self.objects.get(path)
    }

    /// Everything that is stored, with the tensors by name.
    pub fn objects(&self) -> &Object {
        &self.objects
    }

    /// The files as one checkpoint.
    fn open_files(path: &Path, files: Vec<PathBuf>) -> Result<Self> {
        let mut sources: Vec<Source> = Vec::with_capacity(files.len());
        let mut objects = None;
        let mut tensors = Tensors::new();
        for (number, path) in files.iter().enumerate() {
            let (source, object, more) = open_file(path, number).map_err(|e| e.context(path.display()))?;
            objects = Some(match objects {
                None => object,
                Some(before) => shards::join(path, before, object)?,
            });
            for (name, entry) in more {
                if let Some(before) = tensors.get(&name) {
                    let first = sources.get(before.source).map_or(path.as_path(), |source| &source.path);
                    return Err(Error::pack(format!(
                        "{}: tensor {name:?} is also in {}; download the folder again",
                        path.display(),
                        first.display()
                    )));
                }
                tensors.insert(name, entry);
            }
            sources.push(source);
        }
        Ok(Self { path: path.to_owned(), files, sources, objects: objects.unwrap_or(Object::None), tensors })
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata> {
    fs::metadata(path).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::PackInvalid };
        Error::new(kind, format!("{}: cannot be read: {e}", path.display()))
    })
}

fn open_file(path: &Path, number: usize) -> Result<(Source, Object, Tensors)> {
    if !metadata(path)?.is_file() {
        return Err(Error::pack("is not a file"));
    }
    let unreadable = |e: std::io::Error| Error::pack(format!("cannot be read: {e}"));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut head = vec![0; sniff::LENGTH.min(usize::try_from(length).unwrap_or(usize::MAX))];
    input::read_at(&file, &mut head, 0).map_err(input::unreadable)?;
    let (objects, tensors) = match sniff::kind(&head)? {
        sniff::Kind::Zip => torch::read_zip(&file, length, number)?,
        sniff::Kind::LegacyTorch => torch::read_legacy(&file, length, number)?,
        sniff::Kind::Safetensors => safetensors::read(&file, length, number)?,
    };
    Ok((Source { file, path: path.to_owned() }, objects, tensors))
}
