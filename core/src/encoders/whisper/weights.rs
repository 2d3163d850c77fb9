//! `speech.safetensors`: mapped, checked, widened from f16 to f32.

#![allow(unsafe_code, reason = "the weight file is mapped")]

use std::fs::File;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::matrix::{LayerNorm, Linear, Matrix};
use crate::error::{Error, Result};

/// A weight file while it is being read.
pub(super) struct Weights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    metadata: std::collections::HashMap<String, String>,
}

/// Maps a weight file. The map is dropped when loading is over, so a file that changes later does no harm.
pub(super) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(|error| {
        let what = format!("speech weights {}: {error}; build or fetch the pack again", path.display());
        Error::pack(what)
    })?;
    // SAFETY: the map is read-only and lives while the weights are copied out, a fraction of a second. Another process
    // that truncates the file in that time could still stop this one with SIGBUS; packs are replaced, not rewritten.
    unsafe { Mmap::map(&file) }.map_err(|error| Error::pack(format!("speech weights {}: {error}", path.display())))
}

impl<'a> Weights<'a> {
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let damaged = |error| {
            Error::pack(format!(
                "speech weights {}: not a safetensors file ({error}); fetch the pack again",
                path.display()
            ))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        Ok(Self { path, tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    /// A value of the header, parsed from JSON.
    pub fn setting<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T> {
        let parsed = self.metadata.get(key).and_then(|text| serde_json::from_str(text).ok());
        parsed.ok_or_else(|| Error::pack(format!("speech weights {}: setting {key} is missing", self.path.display())))
    }

    fn fault(&self, name: &str, what: impl std::fmt::Display) -> Error {
        Error::pack(format!("speech weights {}: tensor {name} {what}; fetch the pack again", self.path.display()))
    }

    /// The values as stored, with their shape proved.
    pub fn half(&self, name: &str, shape: &[usize]) -> Result<Vec<f16>> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.fault(name, "is missing"))?;
        if tensor.dtype() != Dtype::F16 || tensor.shape() != shape {
            let found = format!("is {:?} {:?}, F16 {shape:?} was expected", tensor.dtype(), tensor.shape());
            return Err(self.fault(name, found));
        }
        let mut values = vec![f16::ZERO; tensor.data().len() / size_of::<f16>()];
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(tensor.data());
        // All exponent bits set: infinity or not a number. The largest is found in vectors, the first would not be.
        let largest = |values: &[f16]| values.iter().map(|value| value.to_bits() & 0x7c00).fold(0, u16::max);
        if largest(&values) == 0x7c00 {
            return Err(self.fault(name, "holds values that are not finite"));
        }
        Ok(values)
    }

    /// The first dimension of a tensor, whatever it is.
    pub fn rows(&self, name: &str) -> Result<usize> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.fault(name, "is missing"))?;
        tensor.shape().first().copied().ok_or_else(|| self.fault(name, "has no dimensions"))
    }

    pub fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(widen(&self.half(name, &[len])?))
    }

    /// `[rows, cols]`.
    pub fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        Ok(Matrix { rows, cols, data: widen(&self.half(name, &[rows, cols])?) })
    }

    /// `{name}.weight` `[outputs, inputs]` and `{name}.bias` `[outputs]`.
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let weight = self.matrix(&format!("{name}.weight"), outputs, inputs)?;
        Ok(Linear::new(&weight.data, &self.vector(&format!("{name}.bias"), outputs)?, inputs))
    }

    /// `{name}.weight` `[outputs, taps, inputs]` as a linear map of `taps * inputs` values, and `{name}.bias`.
    pub fn convolution(&self, name: &str, outputs: usize, taps: usize, inputs: usize) -> Result<Linear> {
        let data = widen(&self.half(&format!("{name}.weight"), &[outputs, taps, inputs])?);
        Ok(Linear::new(&data, &self.vector(&format!("{name}.bias"), outputs)?, taps * inputs))
    }

    pub fn norm(&self, name: &str, width: usize) -> Result<LayerNorm> {
        let weight = self.vector(&format!("{name}.weight"), width)?;
        Ok(LayerNorm { weight, bias: self.vector(&format!("{name}.bias"), width)? })
    }
}

fn widen(values: &[f16]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    values.convert_to_f32_slice(&mut out);
    out
}
