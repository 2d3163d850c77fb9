//! What benchmarks measure on a GPU besides the models.

use candle_core::cuda_backend::WrapErr;
use candle_core::{CudaDevice, Device};
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;

use super::batch::Cut;
use super::devices;
use super::pictures::{Levels, Pictures};
use crate::device::Place;
use crate::error::{Error, Result};
use crate::preprocess::Filter;

/// Bytes that are copied at once, far more than caches hold.
const COPIED: usize = 1 << 30;
/// Copies that are timed together.
const COPIES: usize = 8;

/// Measures one GPU.
pub struct Meter {
    place: Place,
    device: CudaDevice,
    pictures: Pictures,
}

impl Meter {
    /// For the GPU of this number, whose bytes of memory it gives too. Models compute there in f16.
    ///
    /// # Errors
    /// `not_found` without such a GPU, with the reason; `out_of_memory` and `unreachable`, as the driver says.
    pub fn open(index: usize) -> Result<(Self, u64)> {
        let found = devices::list().map_err(Error::not_found)?;
        let gpu = found.into_iter().find(|gpu| gpu.index == index);
        let gpu = gpu.ok_or_else(|| Error::not_found(format!("there is no GPU {index} that can be used")))?;
        let place = devices::place(&gpu)?;
        let pictures = Pictures::new(&place)?;
        let (Device::Cuda(device), Some(pictures)) = (place.device().clone(), pictures) else {
            return Err(Error::internal("a GPU is none of CUDA's devices"));
        };
        Ok((Self { place, device, pictures }, gpu.memory))
    }

    /// Where models compute on it.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes a second that copies inside of its memory read and write together.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says.
    pub fn copied_bytes_per_second(&self) -> Result<f64> {
        let stream = self.device.cuda_stream();
        let from = stream.alloc_zeros::<u8>(COPIED).w()?;
        let mut to = stream.alloc_zeros::<u8>(COPIED).w()?;
        stream.memcpy_dtod(&from, &mut to).w()?;
        let began = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
        for _ in 0..COPIES {
            stream.memcpy_dtod(&from, &mut to).w()?;
        }
        let ended = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
        let seconds = f64::from(began.elapsed_ms(&ended).w()?) / 1e3;
        Ok((2 * COPIES * COPIED) as f64 / seconds)
    }

    /// Makes squares of `side` pixels from whole `frames` `[height, width, 3]`, as for the picture encoder, and waits for them.
    ///
    /// # Errors
    /// `invalid_argument` for none, or a frame of another size; `out_of_memory` and `unreachable`, as the driver says.
    pub fn pictures(&self, frames: &[Vec<u8>], width: usize, height: usize, side: usize) -> Result<()> {
        self.pictures.make(&cuts(frames, width, height), side, Filter::Bicubic, Levels::Clip)?;
        Ok(self.device.cuda_stream().synchronize().w()?)
    }

    /// Seconds of the launch alone that does so, by the GPU's own clock.
    ///
    /// # Errors
    /// As [`Meter::pictures`].
    pub fn picture_kernel_seconds(&self, frames: &[Vec<u8>], width: usize, height: usize, side: usize) -> Result<f64> {
        let mut milliseconds = Some(0.0);
        let cuts = cuts(frames, width, height);
        self.pictures.make_timed(&cuts, side, Filter::Bicubic, Levels::Clip, &mut milliseconds)?;
        Ok(f64::from(milliseconds.unwrap_or_default()) / 1e3)
    }
}

fn cuts(frames: &[Vec<u8>], width: usize, height: usize) -> Vec<Cut<'_>> {
    frames.iter().map(|rgb| Cut { rgb, width, height, part: [0, 0, width, height], decoded: None }).collect()
}
