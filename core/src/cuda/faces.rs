//! Turned crops of faces, by `kernels/face.cu`. The published encoders take upright squares, so that only tests launch it.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use cudarc::driver::{CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg};

use super::batch::{whole, Batch, Cut};
use super::modules::{Kernels, FACE};
use super::parameters::{Face, FaceParameters, ELEMENT_F32, OUTSIDE_BLACK, THREADS};
use super::upload::{Uploaded, UploadedBatch};
use crate::error::Result;

/// Cuts faces out of pictures on one device.
pub struct Faces {
    stream: Arc<CudaStream>,
    batch: CudaFunction,
}

impl Faces {
    /// Loads the kernel to where `stream` runs.
    pub fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let batch = Kernels::load(&stream, &FACE)?.function("face_batch")?;
        Ok(Self { stream, batch })
    }

    /// From `pictures`, which are taken whole, for each matrix and number of a picture a crop of `side` pixels: `[faces, 3, side, side]` in levels.
    /// Each pixel is the mean of `taps` times `taps` samples; what lies outside is black.
    #[allow(unsafe_code, reason = "a kernel is launched")]
    pub fn make(
        &self,
        pictures: &[Cut<'_>],
        faces: &[([f32; 6], usize)],
        side: usize,
        taps: usize,
    ) -> Result<Vec<f32>> {
        let batch = UploadedBatch::new(&self.stream, Batch::new(pictures, self.stream.context().ordinal())?)?;
        let face = |(output, (matrix, frame)): (usize, &([f32; 6], usize))| {
            assert!(*frame < pictures.len(), "there is no such picture");
            Ok(Face { matrix: *matrix, frame: whole(*frame)?, output: whole(output)? })
        };
        let descriptors = faces.iter().enumerate().map(face).collect::<Result<Vec<Face>>>()?;
        let descriptors = Uploaded::new(&self.stream, &descriptors)?;
        let output = self.stream.alloc_zeros::<f32>(faces.len() * 3 * side * side).w()?;
        let parameters = FaceParameters {
            frames: batch.frames.address(&self.stream),
            faces: descriptors.address(&self.stream),
            chroma: batch.chroma.address(&self.stream),
            colors: batch.colors.address(&self.stream),
            output: output.device_ptr(&self.stream).0,
            scale: [1.0; 3],
            shift: [0.0; 3],
            face_count: whole(faces.len())?,
            width: whole(side)?,
            height: whole(side)?,
            taps: whole(taps)?,
            outside: OUTSIDE_BLACK,
            element: ELEMENT_F32,
        };
        let blocks = ((side * side) as u32).div_ceil(THREADS);
        let grid_dim = (blocks, faces.len() as u32, 1);
        let config = LaunchConfig { grid_dim, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the kernel takes this structure by value. Its addresses are those of slices that live until after the launch, and each face
        // names one of the pictures.
        unsafe { self.stream.launch_builder(&self.batch).arg(&parameters).launch(config) }.w()?;
        Ok(self.stream.clone_dtoh(&output).w()?)
    }
}
