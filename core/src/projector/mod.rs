//! From feature vectors to soft tokens, rows of the language model's width.

mod cues;
mod published;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

pub use cues::CueProjector;
pub use published::PublishedProjector;

/// Weight `[in, out]` and bias `[1, out]`, f32.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

/// The tensors of the safetensors file at `path`.
fn load(path: &Path) -> Result<HashMap<String, Tensor>> {
    let at = |error: Error| error.context(path.display());
    let bytes = std::fs::read(path).map_err(|error| at(Error::pack(error.to_string())))?;
    candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| at(Error::pack(format!("not safetensors: {error}"))))
}

impl Linear {
    /// `NAME.weight` `[output, input]` and `NAME.bias` `[output]`.
    fn from_file(tensors: &HashMap<String, Tensor>, name: &str, input: usize, output: usize) -> Result<Self> {
        let weight = checked(tensors, &format!("{name}.weight"), &[output, input])?;
        let bias = checked(tensors, &format!("{name}.bias"), &[output])?;
        Ok(Self { weight: weight.t()?.contiguous()?, bias: bias.unsqueeze(0)? })
    }

    /// `[n, in]` to `[n, out]`.
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        Ok(input.matmul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}

fn find<'a>(tensors: &'a HashMap<String, Tensor>, name: &str) -> Result<&'a Tensor> {
    tensors.get(name).ok_or_else(|| Error::pack(format!("tensor {name} is missing")))
}

/// The tensor as f32, if it has `shape` and holds numbers only.
fn checked(tensors: &HashMap<String, Tensor>, name: &str, shape: &[usize]) -> Result<Tensor> {
    let tensor = find(tensors, name)?;
    if tensor.dims() != shape {
        return Err(Error::pack(format!("tensor {name} has shape {:?}, expected {shape:?}", tensor.dims())));
    }
    let tensor = tensor.to_dtype(DType::F32)?;
    if tensor.flatten_all()?.to_vec1::<f32>()?.iter().any(|value| !value.is_finite()) {
        return Err(Error::pack(format!("tensor {name} holds a value that is not a number")));
    }
    Ok(tensor)
}

#[cfg(not(any(feature = "cuda", test)))]
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Error::internal(format!("tensor operation failed: {error}"))
    }
}
