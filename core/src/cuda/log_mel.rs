//! Whisper's spectrogram, by `kernels/audio.cu`. Whisper runs on the processor, so that only tests launch it.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use cudarc::driver::{CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg};

use super::batch::whole;
use super::modules::{Kernels, AUDIO};
use super::parameters::{MelParameters, Recording, Window, MEL_CLAMP_BLOCKS, MEL_FRAMES, MEL_WINDOW, THREADS};
use super::upload::Uploaded;
use crate::encoders::whisper::{LogMel, HOP, MEL_BANDS};
use crate::error::Result;

/// Makes spectrograms on one device.
pub struct DeviceLogMel {
    stream: Arc<CudaStream>,
    /// Frames, the loudest value of all, and what follows from it, in this order.
    kernels: [CudaFunction; 3],
    window: Uploaded<f32>,
    cosines: Uploaded<f64>,
    bands: Uploaded<Window>,
    weights: Uploaded<f32>,
}

impl DeviceLogMel {
    /// Loads the kernels and the tables to where `stream` runs.
    pub fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let module = Kernels::load(&stream, &AUDIO)?;
        let kernels = [
            module.function("log_mel_frames")?,
            module.function("log_mel_loudest")?,
            module.function("log_mel_clamp")?,
        ];
        let tables = LogMel::new();
        let step = 2.0 * std::f64::consts::PI / MEL_WINDOW as f64;
        let cosines: Vec<f64> = (0..MEL_WINDOW).map(|i| (step * i as f64).cos()).collect();
        let (mut bands, mut weights) = (Vec::new(), Vec::new());
        for (first, band) in tables.bands() {
            bands.push(Window { first: whole(first)?, count: whole(band.len())?, weights: whole(weights.len())? });
            weights.extend(band);
        }
        Ok(Self {
            kernels,
            window: Uploaded::new(&stream, tables.window())?,
            cosines: Uploaded::new(&stream, &cosines)?,
            bands: Uploaded::new(&stream, &bands)?,
            weights: Uploaded::new(&stream, &weights)?,
            stream,
        })
    }

    /// As [`LogMel::compute`]: `[samples.len() / HOP, MEL_BANDS]`.
    #[allow(unsafe_code, reason = "kernels are launched")]
    pub fn make(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let frames = samples.len() / HOP;
        if frames == 0 {
            return Ok(Vec::new());
        }
        let input = Uploaded::new(&self.stream, samples)?;
        let output = self.stream.alloc_zeros::<f32>(frames * MEL_BANDS).w()?;
        let maxima = self.stream.alloc_zeros::<f32>(frames).w()?;
        let loudest = self.stream.alloc_zeros::<f32>(1).w()?;
        let recording = Recording {
            samples: input.address(&self.stream),
            output: output.device_ptr(&self.stream).0,
            length: samples.len() as i64,
            first_frame: 0,
        };
        let recordings = Uploaded::new(&self.stream, &[recording])?;
        let parameters = MelParameters {
            recordings: recordings.address(&self.stream),
            window: self.window.address(&self.stream),
            cosines: self.cosines.address(&self.stream),
            bands: self.bands.address(&self.stream),
            band_weights: self.weights.address(&self.stream),
            frame_maxima: maxima.device_ptr(&self.stream).0,
            loudest: loudest.device_ptr(&self.stream).0,
            recording_count: 1,
        };
        for (kernel, blocks) in self.kernels.iter().zip([(frames as u32).div_ceil(MEL_FRAMES), 1, MEL_CLAMP_BLOCKS]) {
            let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
            // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch, and as long as
            // it takes them for.
            unsafe { self.stream.launch_builder(kernel).arg(&parameters).launch(config) }.w()?;
        }
        Ok(self.stream.clone_dtoh(&output).w()?)
    }
}
