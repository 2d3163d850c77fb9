//! Pictures for the encoders on a device: cropped, resized, normalised and laid out by one launch of `kernels/picture.cu` for all of them.
//!
//! What goes over the bus are 8-bit pixels, from page-locked memory; the encoders' input is made on the device and stays there.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Storage, Tensor};
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use cudarc::driver::{CudaFunction, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use half::{bf16, f16};

use super::batch::{whole, Batch, Cut};
use super::modules::{Kernels, PICTURE};
use super::parameters::{
    PictureParameters, ELEMENT_BF16, ELEMENT_F16, ELEMENT_F32, PICTURE_TILE_HEIGHT, PICTURE_TILE_WIDTH, THREADS,
};
use super::upload::{Uploaded, UploadedBatch};
use crate::device::Place;
use crate::error::Result;
use crate::preprocess::{clip_normalised, unit_range, Filter};

/// How a channel's levels become the encoder's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Levels {
    /// As [`clip_normalised`].
    Clip,
    /// As [`unit_range`].
    Unit,
}

/// Makes pictures for the encoders of one device.
pub struct Pictures {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    batch: CudaFunction,
    dtype: DType,
}

impl Pictures {
    /// Loads the kernels to where `place` says; None for a device that is not CUDA's.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    pub fn new(place: &Place) -> Result<Option<Self>> {
        let Device::Cuda(device) = place.device() else { return Ok(None) };
        let stream = device.cuda_stream();
        let batch = Kernels::load(&stream, &PICTURE)?.function("picture_batch")?;
        Ok(Some(Self { device: device.clone(), stream, batch, dtype: place.dtype() }))
    }

    /// Number of the device.
    pub fn device(&self) -> usize {
        self.stream.context().ordinal()
    }

    /// Each of `cuts`, resized to a square of `side` pixels: `[cuts.len(), 3, side, side]`.
    ///
    /// # Errors
    /// `invalid_argument` for no cuts, or one whose buffer or part does not fit its size; `out_of_memory`, `unreachable`.
    pub fn make(&self, cuts: &[Cut<'_>], side: usize, filter: Filter, levels: Levels) -> Result<Tensor> {
        self.make_timed(cuts, side, filter, levels, &mut None)
    }

    /// As [`Pictures::make`]. Puts the milliseconds that the launch took on the device into `milliseconds`, if there is something in it.
    ///
    /// # Errors
    /// As [`Pictures::make`].
    pub fn make_timed(
        &self,
        cuts: &[Cut<'_>],
        side: usize,
        filter: Filter,
        levels: Levels,
        milliseconds: &mut Option<f32>,
    ) -> Result<Tensor> {
        let batch = Batch::new(cuts, self.device())?.resized_to(side, filter)?;
        let is_all_staged = batch.staged.len() == cuts.len();
        let batch = UploadedBatch::new(&self.stream, batch)?;
        let element = match self.dtype {
            DType::F32 => ELEMENT_F32,
            DType::F16 => ELEMENT_F16,
            _ => ELEMENT_BF16,
        };
        let levels = Uploaded::new(&self.stream, &self.levels(levels)?)?;
        let parameters = PictureParameters {
            frames: batch.frames.address(&self.stream),
            windows: batch.windows.address(&self.stream),
            weights: batch.weights.address(&self.stream),
            chroma: batch.chroma.address(&self.stream),
            colors: batch.colors.address(&self.stream),
            levels: levels.address(&self.stream),
            frame_count: whole(cuts.len())?,
            width: whole(side)?,
            height: whole(side)?,
            element,
            ..PictureParameters::default()
        };
        let count = cuts.len() * 3 * side * side;
        let storage = match self.dtype {
            DType::F32 => self.launch::<f32>(parameters, count, milliseconds)?,
            DType::F16 => self.launch::<f16>(parameters, count, milliseconds)?,
            _ => self.launch::<bf16>(parameters, count, milliseconds)?,
        };
        if !is_all_staged {
            // The decoded pictures may be freed from here on, in another stream.
            self.stream.synchronize().w()?;
        }
        let shape = (cuts.len(), 3, side, side);
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }

    /// What each of the 256 levels of red, green and blue becomes, as bytes of the encoder's type.
    fn levels(&self, levels: Levels) -> Result<Vec<u8>> {
        let ramp: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
        let values = match levels {
            Levels::Clip => clip_normalised(&ramp, 256, 1)?,
            Levels::Unit => unit_range(&ramp, 256, 1)?,
        };
        Ok(match self.dtype {
            DType::F32 => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
            DType::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_ne_bytes()).collect(),
            _ => values.iter().flat_map(|value| bf16::from_f32(*value).to_ne_bytes()).collect(),
        })
    }

    /// Runs the kernel, which fills `count` values.
    #[allow(unsafe_code, reason = "a kernel is launched")]
    fn launch<T>(
        &self,
        mut parameters: PictureParameters,
        count: usize,
        milliseconds: &mut Option<f32>,
    ) -> Result<CudaStorage>
    where
        T: DeviceRepr + candle_core::cuda_backend::CudaDType,
    {
        // SAFETY: the kernel writes every value before anybody reads one: both happen in this stream's order.
        let output = unsafe { self.device.alloc::<T>(count) }?;
        parameters.output = output.device_ptr(&self.stream).0;
        let tiles = |pixels: i32, tile: u32| pixels.unsigned_abs().div_ceil(tile);
        let grid = (
            tiles(parameters.width, PICTURE_TILE_WIDTH),
            tiles(parameters.height, PICTURE_TILE_HEIGHT),
            parameters.frame_count.unsigned_abs(),
        );
        let config = LaunchConfig { grid_dim: grid, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(&self.batch);
        launch.arg(&parameters);
        if milliseconds.is_some() {
            launch.record_kernel_launch(CU_EVENT_DEFAULT);
        }
        // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch, and freeing
        // them comes behind it in the stream's order; frames and windows were checked to lie inside of what they point at, or the caller says so.
        let events = unsafe { launch.launch(config) }.w()?;
        if let Some((began, ended)) = events {
            *milliseconds = Some(began.elapsed_ms(&ended).w()?);
        }
        Ok(CudaStorage::wrap_cuda_slice(output, self.device.clone()))
    }
}
