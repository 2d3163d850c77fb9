//! Pictures for the encoders on a device: cropped, resized, normalised and laid out by one launch of `kernels/picture.cu` for all of them.
//!
//! What goes over the bus are 8-bit pixels, from page-locked memory; the encoders' input is made on the device and stays there.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Storage, Tensor};
use cudarc::driver::{CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use half::{bf16, f16};

use super::modules::{Kernels, PICTURE};
use super::parameters::{
    Frame, PictureParameters, Window, ELEMENT_BF16, ELEMENT_F16, ELEMENT_F32, FORMAT_RGB24, PICTURE_TILE_HEIGHT,
    PICTURE_TILE_WIDTH, THREADS,
};
use crate::device::Place;
use crate::error::{Error, Result};
use crate::preprocess::{clip_normalised, resize_windows, unit_range, Filter};

/// Where pictures begin in the staging buffer.
const ALIGNMENT: usize = 16;

/// A square or other part of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// `[height, width, 3]`, 8-bit RGB.
    pub rgb: &'a [u8],
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Left, top, width and height of the part.
    pub part: [usize; 4],
}

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

    /// Each of `cuts`, resized to a square of `side` pixels: `[cuts.len(), 3, side, side]`.
    ///
    /// # Errors
    /// `invalid_argument` for no cuts, or one whose buffer or part does not fit its size; `out_of_memory`, `unreachable`.
    pub fn make(&self, cuts: &[Cut<'_>], side: usize, filter: Filter, levels: Levels) -> Result<Tensor> {
        let mut tables = Tables::new(side, filter);
        let mut frames = Vec::with_capacity(cuts.len());
        let mut bytes = 0;
        for (output, cut) in cuts.iter().enumerate() {
            let rows = cut.checked_rows()?;
            let [.., width, height] = cut.part;
            frames.push(Frame {
                planes: [bytes as u64, 0, 0],
                strides: [3 * width as i64, 0, 0],
                width: whole(width)?,
                height: whole(height)?,
                crop_width: whole(width)?,
                crop_height: whole(height)?,
                format: FORMAT_RGB24,
                column_windows: tables.first(width)?,
                row_windows: tables.first(height)?,
                output: whole(output)?,
                ..Frame::default()
            });
            bytes += (rows.len() * 3 * width).next_multiple_of(ALIGNMENT);
        }
        if frames.is_empty() {
            return Err(Error::invalid_argument("there are no pictures to be made"));
        }
        let pixels = self.upload_pixels(cuts, bytes)?;
        frames.iter_mut().for_each(|frame| frame.planes[0] += address(&self.stream, &pixels));
        let element = match self.dtype {
            DType::F32 => ELEMENT_F32,
            DType::F16 => ELEMENT_F16,
            _ => ELEMENT_BF16,
        };
        let levels = self.upload(&self.levels(levels)?)?;
        let (frames, windows, weights) =
            (self.upload(&frames)?, self.upload(&tables.windows)?, self.upload(&tables.weights)?);
        let parameters = PictureParameters {
            frames: address(&self.stream, &frames),
            windows: address(&self.stream, &windows),
            weights: address(&self.stream, &weights),
            levels: address(&self.stream, &levels),
            frame_count: whole(cuts.len())?,
            width: whole(side)?,
            height: whole(side)?,
            element,
            ..PictureParameters::default()
        };
        let count = cuts.len() * 3 * side * side;
        let storage = match self.dtype {
            DType::F32 => self.launch::<f32>(parameters, count)?,
            DType::F16 => self.launch::<f16>(parameters, count)?,
            _ => self.launch::<bf16>(parameters, count)?,
        };
        let shape = (cuts.len(), 3, side, side);
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }

    /// The parts' pixels one after the other, each from a multiple of [`ALIGNMENT`] on.
    #[allow(unsafe_code, reason = "page-locked memory comes as it was left")]
    fn upload_pixels(&self, cuts: &[Cut<'_>], bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: numbers may have any value, and those that are read are written first.
        let mut staging = unsafe { self.stream.context().alloc_pinned::<u8>(bytes) }.w()?;
        let mut at = 0;
        let buffer = staging.as_mut_slice().w()?;
        for cut in cuts {
            for row in cut.checked_rows()? {
                buffer[at..at + row.len()].copy_from_slice(row);
                at += row.len();
            }
            at = at.next_multiple_of(ALIGNMENT);
        }
        Ok(self.stream.clone_htod(&staging).w()?)
    }

    fn upload<T: DeviceRepr>(&self, values: &[T]) -> Result<CudaSlice<T>> {
        Ok(self.stream.clone_htod(values).w()?)
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
    fn launch<T>(&self, mut parameters: PictureParameters, count: usize) -> Result<CudaStorage>
    where
        T: DeviceRepr + candle_core::cuda_backend::CudaDType,
    {
        // SAFETY: the kernel writes every value before anybody reads one: both happen in this stream's order.
        let output = unsafe { self.device.alloc::<T>(count) }?;
        parameters.output = address(&self.stream, &output);
        let tiles = |pixels: i32, tile: u32| pixels.unsigned_abs().div_ceil(tile);
        let grid = (
            tiles(parameters.width, PICTURE_TILE_WIDTH),
            tiles(parameters.height, PICTURE_TILE_HEIGHT),
            parameters.frame_count.unsigned_abs(),
        );
        let config = LaunchConfig { grid_dim: grid, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch, and freeing
        // them comes behind it in the stream's order; frames and windows were checked to lie inside of what they point at.
        unsafe { self.stream.launch_builder(&self.batch).arg(&parameters).launch(config) }.w()?;
        Ok(CudaStorage::wrap_cuda_slice(output, self.device.clone()))
    }
}

/// Windows and weights of the lengths that occur, one after the other.
struct Tables {
    side: usize,
    filter: Filter,
    windows: Vec<Window>,
    weights: Vec<i32>,
    firsts: HashMap<usize, i32>,
}

impl Tables {
    fn new(side: usize, filter: Filter) -> Self {
        Self { side, filter, windows: Vec::new(), weights: Vec::new(), firsts: HashMap::new() }
    }

    /// Where the windows from `length` pixels begin.
    fn first(&mut self, length: usize) -> Result<i32> {
        if let Some(&first) = self.firsts.get(&length) {
            return Ok(first);
        }
        let first = whole(self.windows.len())?;
        let table = resize_windows(length, self.side, self.filter)?;
        let weights = self.weights.len();
        for window in table.windows {
            self.windows.push(Window {
                first: whole(window.first as usize)?,
                count: whole(window.count as usize)?,
                weights: whole(weights + window.weights as usize)?,
            });
        }
        self.weights.extend(table.weights);
        self.firsts.insert(length, first);
        Ok(first)
    }
}

impl<'a> Cut<'a> {
    /// The part's rows.
    fn checked_rows(&self) -> Result<impl ExactSizeIterator<Item = &'a [u8]>> {
        let [left, top, width, height] = self.part;
        let fits = |from: usize, length: usize, all: usize| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        let whole = self.width.checked_mul(self.height).and_then(|pixels| pixels.checked_mul(3));
        if whole != Some(self.rgb.len()) || !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(Error::invalid_argument(format!(
                "{width} x {height} pixels at ({left}, {top}) are no part of a picture of {} x {} with {} bytes",
                self.width,
                self.height,
                self.rgb.len()
            )));
        }
        let (stride, rgb) = (3 * self.width, self.rgb);
        Ok((top..top + height).map(move |row| &rgb[row * stride + 3 * left..][..3 * width]))
    }
}

/// A slice's address on the device.
fn address<T>(stream: &CudaStream, slice: &CudaSlice<T>) -> u64 {
    // What is launched next in the stream comes after what the slice waits for.
    slice.device_ptr(stream).0
}

/// `count` as the kernels have it.
fn whole(count: usize) -> Result<i32> {
    i32::try_from(count)
        .map_err(|_| Error::invalid_argument(format!("{count} is beyond what a picture on a GPU may have")))
}
