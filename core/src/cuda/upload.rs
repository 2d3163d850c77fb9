//! From the host to a device.

use candle_core::cuda_backend::WrapErr;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DeviceRepr};
use std::sync::Arc;

use super::batch::Batch;
use super::parameters::{ChromaTap, ColorCoefficients, Frame, Window, FORMAT_RGB24};
use crate::error::Result;

/// Values on a device. None where there are none, of which there is no memory.
pub struct Uploaded<T>(Option<CudaSlice<T>>);

impl<T: DeviceRepr> Uploaded<T> {
    /// A copy of `values`, in the stream's order.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    pub fn new(stream: &Arc<CudaStream>, values: &[T]) -> Result<Self> {
        Ok(Self((!values.is_empty()).then(|| stream.clone_htod(values)).transpose().w()?))
    }
}

impl<T> Uploaded<T> {
    /// Where it lies, for what is launched next in `stream`.
    pub fn address(&self, stream: &CudaStream) -> u64 {
        self.0.as_ref().map_or(0, |slice| slice.device_ptr(stream).0)
    }
}

/// A batch on a device, for as long as something may read it there: freeing it comes in the stream's order behind what was launched.
pub struct UploadedBatch {
    pub frames: Uploaded<Frame>,
    pub windows: Uploaded<Window>,
    pub weights: Uploaded<i32>,
    pub chroma: Uploaded<ChromaTap>,
    pub colors: Uploaded<ColorCoefficients>,
    _pixels: Uploaded<u8>,
}

impl UploadedBatch {
    /// Uploads `batch`: pixels through page-locked memory, and everything that goes with them.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    pub fn new(stream: &Arc<CudaStream>, mut batch: Batch<'_>) -> Result<Self> {
        let pixels = staged(stream, &batch)?;
        let start = pixels.address(stream);
        for frame in batch.frames.iter_mut().filter(|frame| frame.format == FORMAT_RGB24) {
            frame.planes[0] += start;
        }
        Ok(Self {
            frames: Uploaded::new(stream, &batch.frames)?,
            windows: Uploaded::new(stream, &batch.windows)?,
            weights: Uploaded::new(stream, &batch.weights)?,
            chroma: Uploaded::new(stream, &batch.chroma)?,
            colors: Uploaded::new(stream, &batch.colors)?,
            _pixels: pixels,
        })
    }
}

/// The parts that are in the host's memory, one after the other.
#[allow(unsafe_code, reason = "page-locked memory comes as it was left")]
fn staged(stream: &Arc<CudaStream>, batch: &Batch<'_>) -> Result<Uploaded<u8>> {
    if batch.staged.is_empty() {
        return Ok(Uploaded(None));
    }
    // SAFETY: numbers may have any value, and those that are read are written first.
    let mut staging = unsafe { stream.context().alloc_pinned::<u8>(batch.staged_bytes) }.w()?;
    let buffer = staging.as_mut_slice().w()?;
    let mut at = 0;
    for cut in &batch.staged {
        at = cut.stage(buffer, at)?;
    }
    Ok(Uploaded(Some(stream.clone_htod(&staging).w()?)))
}
