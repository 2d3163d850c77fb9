//! The file that holds the nets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::graph::{Net, NetText};
use super::tensor::Tensor;
use crate::error::{Error, Result};

/// The format this version reads; `FORMAT_VERSION` in `tools/pack_sources/face.py`.
const FORMAT_VERSION: u32 = 1;

/// How an 8-bit weight is read: `value = scale * q + min`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Affine {
    scale: f32,
    min: f32,
}

#[derive(Debug, Deserialize)]
struct Header {
    version: u32,
    #[serde(default)]
    quantized: HashMap<String, Affine>,
    nets: HashMap<String, NetText>,
}

/// A safetensors file with nets in its metadata (key `nets`).
#[derive(Debug)]
pub struct NetFile {
    path: PathBuf,
    bytes: Vec<u8>,
    header: Header,
}

impl NetFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `not_found` when it is not there, `pack_invalid` when it is not such a file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("{} is not there; is the pack complete?", path.display()))
            }
            _ => Error::pack(format!("{} cannot be read: {e}", path.display())),
        })?;
        Self::from_bytes(bytes, path)
    }

    /// The same from memory; `path` only names the file in errors.
    ///
    /// # Errors
    /// `pack_invalid` when the bytes are not such a file.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self> {
        let damaged =
            |reason: String| Error::pack(format!("{}: {reason}; build or fetch the pack again", path.display()));
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| damaged(format!("not a safetensors file ({e})")))?;
        SafeTensors::deserialize(&bytes).map_err(|e| damaged(format!("not a whole safetensors file ({e})")))?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get("nets"))
            .ok_or_else(|| damaged("it describes no nets".into()))?;
        let header: Header =
            serde_json::from_str(text).map_err(|e| damaged(format!("its nets cannot be read ({e})")))?;
        if header.version != FORMAT_VERSION {
            return Err(damaged(format!("its format is version {}, expected {FORMAT_VERSION}", header.version)));
        }
        Ok(Self { path: path.into(), bytes, header })
    }

    /// Builds the net called `name`, its weights as `f32`.
    ///
    /// # Errors
    /// `pack_invalid` when it is missing or does not hold together.
    pub fn net(&self, name: &str) -> Result<Net> {
        let text = self.text(name)?;
        let tensors = self.tensors()?;
        Net::build(name, text, |weight| self.read(&tensors, weight)).map_err(|e| e.context(self.path.display()))
    }

    /// The anchor boxes that belong to the detector called `name`.
    ///
    /// # Errors
    /// `pack_invalid` when it has none.
    pub fn anchors(&self, name: &str) -> Result<Tensor> {
        let anchors = self.text(name)?.anchors.as_deref();
        let anchors =
            anchors.ok_or_else(|| Error::pack(format!("{}: net {name} has no anchors", self.path.display())))?;
        self.read(&self.tensors()?, anchors).map_err(|e| e.context(self.path.display()))
    }

    fn text(&self, name: &str) -> Result<&NetText> {
        let missing = || Error::pack(format!("{} has no net called {name}", self.path.display()));
        self.header.nets.get(name).ok_or_else(missing)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| Error::pack(format!("{}: {e}", self.path.display())))
    }

    fn read(&self, tensors: &SafeTensors<'_>, name: &str) -> Result<Tensor> {
        let view = tensors.tensor(name).map_err(|_| Error::pack(format!("tensor {name} is missing")))?;
        let data: Vec<f32> = match (view.dtype(), self.header.quantized.get(name)) {
            (Dtype::F32, None) => {
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            (Dtype::U8, Some(affine)) => {
                let table: Vec<f32> = (0..=255u8).map(|q| f32::from(q) * affine.scale + affine.min).collect();
                view.data().iter().map(|&q| table[usize::from(q)]).collect()
            }
            (dtype, _) => return Err(Error::pack(format!("tensor {name} has type {dtype:?}"))),
        };
        if data.iter().any(|value| !value.is_finite()) {
            return Err(Error::pack(format!("tensor {name} holds a value that is not finite")));
        }
        Tensor::new(view.shape().to_vec(), data)
    }
}
