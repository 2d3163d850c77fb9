//! The models on a GPU, through candle's tensors.
//!
//! The same code runs on candle's CPU device, where its tests compare it with this library's own CPU models. Those stay what they were: a
//! model that was moved ([`Llama::move_to_device`](crate::llama::Llama::move_to_device) and the encoders' methods of that name) keeps its mapped
//! weights, which take no memory of their own, and computes with them again once its device is lost.
//!
//! Weights lie on the device as they lie in the file. Rows of activations have the type that [`Place`] names; what goes in and comes
//! out is `f32` in the host's memory.

mod attention;
mod block;
mod cache;
mod failure;
mod hubert;
mod llama;
mod placed;
mod vit;
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub use candle_core::{DType, Device, Tensor};

#[cfg(feature = "cuda")]
pub use crate::cuda::measure;

pub(crate) use cache::DeviceCache;
pub(crate) use hubert::{DeviceHubert, HubertParts};
pub(crate) use llama::DeviceLlama;
pub(crate) use placed::Placed;
pub(crate) use vit::{vit, vit_tensor, DeviceVit, Output, VitParts};

use crate::error::{Error, ErrorKind, Result};

/// Where a model's weights lie, and in which type it computes. Clones are the same place: what one of them loses is lost for all.
#[derive(Debug, Clone)]
pub struct Place {
    device: Device,
    dtype: DType,
    /// Set by the first failure that is not a lack of memory: a CUDA context that failed once fails from then on, whoever asks it.
    lost: Arc<AtomicBool>,
}

impl Place {
    /// Activations on `device` in `dtype`: f32, f16, or bf16 (which candle's CPU device cannot multiply).
    ///
    /// # Errors
    /// `invalid_argument` for another type.
    pub fn new(device: Device, dtype: DType) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Err(Error::invalid_argument(format!("models compute in f32, f16 or bf16, not in {dtype:?}")));
        }
        Ok(Self { device, dtype, lost: Arc::default() })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether the device has failed, for which it is not asked again.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// What `task` makes of the device. Remembers when the device is lost.
    pub(crate) fn run<R>(&self, task: impl FnOnce() -> Result<R>) -> Result<R> {
        let result = task();
        if let Err(error) = &result {
            if error.kind == ErrorKind::Unreachable && !self.lost.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "the GPU is given up");
            }
        }
        result
    }

    /// Whether tensors of the two can be used together.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.device.same_device(&other.device)
    }

    /// `values` on the device, in the type of activations.
    pub(crate) fn upload(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_slice(values, shape, &self.device)?.to_dtype(self.dtype)?)
    }
}

/// All values of `tensor`, row after row.
pub(crate) fn download(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests;
