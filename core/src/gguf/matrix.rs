//! Tensors of a mapped file, with the extents that the model expects.

use super::reader::{Gguf, MappedFile};
use crate::error::{Error, Result};
use crate::kernels::{Isa, WeightType, Weights};

/// A weight matrix `[rows, columns]` that stays in its mapped file, in its storage type.
#[derive(Debug, Clone)]
pub struct Matrix {
    file: MappedFile,
    bytes: std::ops::Range<usize>,
    kind: WeightType,
    rows: usize,
    columns: usize,
}

impl Matrix {
    /// The tensor `name`, which must be `[rows, columns]` (the file says `[columns, rows]`).
    ///
    /// # Errors
    /// `pack_invalid` naming file and tensor if it is missing or of other extents.
    pub fn open(gguf: &Gguf, name: &str, rows: usize, columns: usize) -> Result<Self> {
        let info = gguf.tensor(name)?;
        if info.shape != [columns, rows] {
            return Err(unexpected(gguf, name, &info.shape, &[columns, rows]));
        }
        Ok(Self { file: gguf.file().clone(), bytes: info.bytes.clone(), kind: info.kind, rows, columns })
    }

    /// Output width.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input width.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How the values are stored.
    pub fn kind(&self) -> WeightType {
        self.kind
    }

    /// What [`kernels::matmul`](crate::kernels::matmul) takes.
    pub fn weights(&self) -> Weights<'_> {
        Weights {
            bytes: self.file.bytes().get(self.bytes.clone()).unwrap_or_default(),
            kind: self.kind,
            rows: self.rows,
            columns: self.columns,
        }
    }
}

/// The tensor `name` as f32, row after row; `shape` is its shape, slowest axis first (the file has it the other way round).
///
/// # Errors
/// `pack_invalid` naming file and tensor if it is missing, of another shape, or holds a value that is not finite.
pub fn vector(gguf: &Gguf, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let info = gguf.tensor(name)?;
    if !info.shape.iter().rev().eq(shape) {
        let wanted: Vec<usize> = shape.iter().rev().copied().collect();
        return Err(unexpected(gguf, name, &info.shape, &wanted));
    }
    let bytes = gguf.file().bytes().get(info.bytes.clone()).unwrap_or_default();
    let columns = shape.last().copied().unwrap_or(1);
    let mut out = vec![0f32; shape.iter().product()];
    let rows = out.len() / columns.max(1);
    Weights { bytes, kind: info.kind, rows, columns }.unpack_rows(Isa::Portable, 0, &mut out);
    if out.iter().any(|value| !value.is_finite()) {
        return Err(Error::pack(format!(
            "{}: tensor {name:?} holds a value that is not a number; the file is damaged",
            gguf.path().display()
        )));
    }
    Ok(out)
}

fn unexpected(gguf: &Gguf, name: &str, found: &[usize], wanted: &[usize]) -> Error {
    Error::pack(format!(
        "{}: tensor {name:?} is {found:?}, expected {wanted:?}; the file is damaged or another model's",
        gguf.path().display()
    ))
}
