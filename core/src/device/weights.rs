//! Weights on a device: dense layers and norms.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Tensor};

use super::Place;
use crate::error::{Error, Result};
use crate::kernels::{Precision, WeightType, Weights};

/// A dense layer, `x W^T + b`.
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

enum Weight {
    /// In the file's blocks, `[rows, columns]`.
    Quantised(Box<QTensor>),
    /// In the type of activations, `[rows, columns]`.
    Dense(Tensor),
}

impl Linear {
    /// Copies `weights` to the device straight from where they lie; `bias` is `[rows]`.
    pub(crate) fn new(weights: Weights<'_>, bias: Option<&[f32]>, place: &Place) -> Result<Self> {
        let shape = [weights.rows, weights.columns];
        let weight = match storage(weights.kind) {
            Storage::Float(dtype) => {
                let stored = Tensor::from_raw_buffer(weights.bytes, dtype, &shape, place.device())?;
                Weight::Dense(stored.to_dtype(place.dtype())?)
            }
            Storage::Blocks(dtype) => {
                let storage = blocks(weights.bytes, dtype, place)?;
                Weight::Quantised(Box::new(QTensor::new(storage, (weights.rows, weights.columns))?))
            }
        };
        let bias = bias.map(|bias| place.upload(bias, &[bias.len()])).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `x` `[n, columns]` to `[n, rows]`. With [`Precision::Full`] quantised weights are unpacked for the product, which costs little where
    /// rows are many; otherwise they are multiplied with as they are stored, for which candle rounds activations to 8 bits.
    pub(crate) fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let product = match &self.weight {
            Weight::Dense(weight) => x.matmul(&weight.t()?)?,
            Weight::Quantised(weight) if precision == Precision::Full => {
                x.matmul(&unpacked(weight, x.dtype())?.t()?)?
            }
            Weight::Quantised(weight) => x.apply_op1_no_bwd(weight.as_ref())?.to_dtype(x.dtype())?,
        };
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}

/// The blocks of a quantised tensor on the device.
fn blocks(bytes: &[u8], dtype: GgmlDType, place: &Place) -> Result<QStorage> {
    if is_even(bytes) {
        return Ok(QStorage::from_data(Cow::Borrowed(bytes), place.device(), dtype)?);
    }
    // A file may align its tensors to anything; candle panics unless blocks begin where an f16 may.
    let mut copy = vec![0u8; bytes.len() + 1];
    let start = usize::from(!is_even(&copy));
    let copy = copy.get_mut(start..start + bytes.len()).ok_or_else(|| Error::internal("a copy is too short"))?;
    copy.copy_from_slice(bytes);
    Ok(QStorage::from_data(Cow::Borrowed(copy), place.device(), dtype)?)
}

fn is_even(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(2)
}

fn unpacked(weight: &QTensor, dtype: DType) -> Result<Tensor> {
    Ok(match dtype {
        DType::F16 => weight.dequantize_f16(&weight.device())?,
        _ => weight.dequantize(&weight.device())?.to_dtype(dtype)?,
    })
}

/// How candle knows a storage type.
enum Storage {
    Float(DType),
    Blocks(GgmlDType),
}

fn storage(kind: WeightType) -> Storage {
    match kind {
        WeightType::F32 => Storage::Float(DType::F32),
        WeightType::F16 => Storage::Float(DType::F16),
        WeightType::Q4_0 => Storage::Blocks(GgmlDType::Q4_0),
        WeightType::Q4_1 => Storage::Blocks(GgmlDType::Q4_1),
        WeightType::Q8_0 => Storage::Blocks(GgmlDType::Q8_0),
        WeightType::Q4K => Storage::Blocks(GgmlDType::Q4K),
        WeightType::Q6K => Storage::Blocks(GgmlDType::Q6K),
    }
}
