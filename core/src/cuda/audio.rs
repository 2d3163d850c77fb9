//! Sound for the encoders on a device, by `kernels/audio.cu`.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Storage, Tensor};
use cudarc::driver::{CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg};

use super::modules::{Kernels, AUDIO};
use super::parameters::{Recording, SoundParameters, SOUND_BLOCKS, THREADS};
use super::upload::Uploaded;
use crate::device::Place;
use crate::error::{Error, Result};

/// Normalises recordings on one device, as [`zero_mean_unit_variance`](crate::preprocess::zero_mean_unit_variance).
pub struct UnitVariance {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    /// Sums, sums of squared deviations, and what follows from them, in this order.
    kernels: [CudaFunction; 3],
}

impl UnitVariance {
    /// Loads the kernels to where `place` says; None for a device that is not CUDA's.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    pub fn new(place: &Place) -> Result<Option<Self>> {
        let Device::Cuda(device) = place.device() else { return Ok(None) };
        let stream = device.cuda_stream();
        let module = Kernels::load(&stream, &AUDIO)?;
        let kernels =
            [module.function("sound_sums")?, module.function("sound_squares")?, module.function("sound_normalise")?];
        Ok(Some(Self { device: device.clone(), stream, kernels }))
    }

    /// `samples`, which are finite numbers, less their mean and with a variance of 1: `[samples.len()]`, f32.
    ///
    /// # Errors
    /// `invalid_argument` for no samples; `out_of_memory`, `unreachable`.
    #[allow(unsafe_code, reason = "kernels are launched")]
    pub fn make(&self, samples: &[f32]) -> Result<Tensor> {
        if samples.is_empty() {
            return Err(Error::invalid_argument("there are no samples to be normalised"));
        }
        let input = Uploaded::new(&self.stream, samples)?;
        // SAFETY: the kernels write every value of both before anybody reads one, in this stream's order.
        let (output, partials) =
            unsafe { (self.device.alloc::<f32>(samples.len())?, self.device.alloc::<f64>(2 * SOUND_BLOCKS as usize)?) };
        let recording = Recording {
            samples: input.address(&self.stream),
            output: output.device_ptr(&self.stream).0,
            length: samples.len() as i64,
            first_frame: 0,
        };
        let recordings = Uploaded::new(&self.stream, &[recording])?;
        let parameters = SoundParameters {
            recordings: recordings.address(&self.stream),
            partials: partials.device_ptr(&self.stream).0,
            recording_count: 1,
        };
        let config = LaunchConfig { grid_dim: (SOUND_BLOCKS, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        for kernel in &self.kernels {
            // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch, as long as it
            // says, and freeing them comes behind it in the stream's order.
            unsafe { self.stream.launch_builder(kernel).arg(&parameters).launch(config) }.w()?;
        }
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(output, self.device.clone()));
        Ok(Tensor::from_storage(storage, samples.len(), BackpropOp::none(), false))
    }
}
