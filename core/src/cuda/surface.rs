//! A decoded picture in the memory of a device.

use super::parameters::ORIENTATION_TRANSPOSE;
#[cfg(feature = "cuda")]
use crate::error::Result;
use crate::preprocess::color::{ColorCoefficients, YuvLayout};

/// How a decoded picture lies in the memory of a device, and what its values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Number of the device.
    pub device: usize,
    /// One of those with two planes.
    pub layout: YuvLayout,
    /// Addresses of luma, and of U and V in turns.
    pub planes: [u64; 2],
    /// Bytes from one row to the next.
    pub strides: [usize; 2],
    /// Pixels of a row, as stored.
    pub width: usize,
    /// Rows, as stored. Even: chroma has half as many.
    pub height: usize,
    /// Bits of `ORIENTATION_`.
    pub orientation: i32,
    /// From YUV to RGB.
    pub colors: ColorCoefficients,
}

impl Surface {
    /// Width and height of the upright picture.
    pub fn upright_size(&self) -> (usize, usize) {
        if self.orientation & ORIENTATION_TRANSPOSE == 0 {
            (self.width, self.height)
        } else {
            (self.height, self.width)
        }
    }

    /// Bytes of each plane, what follows each row included.
    pub fn lengths(&self) -> [usize; 2] {
        [self.strides[0] * self.height, self.strides[1] * (self.height / 2)]
    }
}

/// A picture in memory of its own: a decoder has few surfaces, and wants them back. Nobody writes there any more.
#[derive(Debug)]
pub struct DevicePicture {
    surface: Surface,
    /// Where `surface` says that it lies. None in tests only.
    #[cfg(feature = "cuda")]
    _memory: Option<cudarc::driver::CudaSlice<u8>>,
}

impl DevicePicture {
    /// A copy of what lies at `surface`, done when this returns.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    ///
    /// # Safety
    /// `surface` tells the truth about memory of the primary context of its device.
    #[cfg(feature = "cuda")]
    #[allow(unsafe_code, reason = "memory that another library has allocated is copied")]
    pub unsafe fn copy_of(surface: &Surface) -> Result<Self> {
        use candle_core::cuda_backend::WrapErr;
        use cudarc::driver::{result, CudaContext, DevicePtr};

        let context = CudaContext::new(surface.device).w()?;
        // FFmpeg's stream: what it has begun there is done first.
        let stream = context.default_stream();
        let [luma, chroma] = surface.lengths();
        // SAFETY: nobody reads it before it is written, just below.
        let memory = unsafe { stream.alloc::<u8>(luma + chroma) }.w()?;
        let start = memory.device_ptr(&stream).0;
        let planes = [start, start + luma as u64];
        for ((to, from), bytes) in planes.into_iter().zip(surface.planes).zip([luma, chroma]) {
            // SAFETY: as many bytes are there on both sides, by the caller's word and as allocated.
            unsafe { result::memcpy_dtod_async(to, from, bytes, stream.cu_stream()) }.w()?;
        }
        stream.synchronize().w()?;
        Ok(Self { surface: Surface { planes, ..*surface }, _memory: Some(memory) })
    }

    /// One that is nowhere.
    #[cfg(test)]
    pub fn nowhere(surface: Surface) -> Self {
        Self {
            surface,
            #[cfg(feature = "cuda")]
            _memory: None,
        }
    }

    /// How it lies in memory.
    pub fn surface(&self) -> &Surface {
        &self.surface
    }
}
