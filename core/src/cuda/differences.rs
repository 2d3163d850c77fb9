//! How much neighbouring pictures differ, by `kernels/difference.cu`. The peak is found by the face, on the processor, so that only tests launch it.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use cudarc::driver::{CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg};

use super::batch::{Batch, Cut};
use super::modules::{Kernels, DIFFERENCE};
use super::parameters::{DifferenceParameters, DIFFERENCE_BLOCKS, THREADS};
use super::upload::UploadedBatch;
use crate::error::Result;

/// Compares pictures on one device.
pub struct Differences {
    stream: Arc<CudaStream>,
    sums: CudaFunction,
    scores: CudaFunction,
}

impl Differences {
    /// Loads the kernels to where `stream` runs.
    pub fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let module = Kernels::load(&stream, &DIFFERENCE)?;
        let (sums, scores) = (module.function("difference_sums")?, module.function("difference_scores")?);
        Ok(Self { stream, sums, scores })
    }

    /// The mean absolute difference of luma, in levels, between each of `cuts` and the next.
    #[allow(unsafe_code, reason = "kernels are launched")]
    pub fn make(&self, cuts: &[Cut<'_>]) -> Result<Vec<f32>> {
        let pairs = cuts.len().saturating_sub(1);
        if pairs == 0 {
            return Ok(Vec::new());
        }
        let batch = UploadedBatch::new(&self.stream, Batch::new(cuts, self.stream.context().ordinal())?)?;
        let sums = self.stream.alloc_zeros::<u64>(pairs * DIFFERENCE_BLOCKS as usize).w()?;
        let scores = self.stream.alloc_zeros::<f32>(pairs).w()?;
        let parameters = DifferenceParameters {
            frames: batch.frames.address(&self.stream),
            sums: sums.device_ptr(&self.stream).0,
            scores: scores.device_ptr(&self.stream).0,
            pair_count: pairs as i64,
        };
        for (kernel, grid_dim) in
            [(&self.sums, (DIFFERENCE_BLOCKS, pairs as u32, 1)), (&self.scores, (pairs as u32, 1, 1))]
        {
            let config = LaunchConfig { grid_dim, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
            // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch.
            unsafe { self.stream.launch_builder(kernel).arg(&parameters).launch(config) }.w()?;
        }
        Ok(self.stream.clone_dtoh(&scores).w()?)
    }
}
