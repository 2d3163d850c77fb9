//! The motion encoder: the encoder half of VideoMAE (Tong et al. 2022).
//!
//! Follows `modeling_finetune.py` of the VideoMAE release (`PatchEmbed` over tubelets of two frames,
//! `get_sinusoid_encoding_table`, `Block` with query and value biases) and transformers' `VideoMAEModel` with
//! `use_mean_pooling`, which computes the same. Pooling as for the face encoder follows a third-party copy of the authors'
//! scripts: pixels in 0..=1 without normalisation, no final norm, the mean of all tokens.
//!
//! A clip of 16 frames of 224 x 224 is 1568 tokens; at 1024 wide activations take about 70 MB beside the mapped weights.

use std::path::{Path, PathBuf};

use super::metadata::{check_finite, Metadata};
use super::transformer::{Block, Linear};
use super::vit::{check_pixels, mean_of_rows, patch_rows, Observer, VitConfig, CHANNELS};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{self, DeviceVit, Output, Place, Placed, Tensor, VitParts};
use crate::error::Result;
use crate::gguf::{Gguf, MappedFile};
use crate::kernels::{add, Isa};

/// VideoMAE's extents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoMaeConfig {
    /// The transformer's.
    pub vit: VitConfig,
    /// Frames of a clip [`num_frames`].
    pub frames: usize,
    /// Frames that a token spans [`tubelet_size`]; divides `frames`.
    pub tubelet: usize,
}

/// The motion encoder.
#[derive(Debug)]
pub struct VideoMae {
    path: PathBuf,
    file: MappedFile,
    isa: Isa,
    config: VideoMaeConfig,
    patch_embed: Linear,
    positions: Vec<f32>,
    blocks: Vec<Block>,
    #[cfg(any(feature = "cuda", test))]
    device: Option<Placed<DeviceVit>>,
}

impl VideoMae {
    /// Opens a converted checkpoint (`videomae.gguf`). Matrices stay mapped; positions are computed.
    ///
    /// # Errors
    /// `not_found` without a file; `pack_invalid` naming file and key or tensor, if one is missing or of other extents.
    pub fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let metadata = Metadata::new(&gguf, "videomae")?;
        let vit = VitConfig::read(&metadata)?;
        let config = VideoMaeConfig { vit, frames: metadata.width("frames")?, tubelet: metadata.width("tubelet")? };
        let steps = metadata.divide(("frames", config.frames), ("tubelet", config.tubelet))?;
        let tokens = metadata.tokens(&[steps, vit.grid(), vit.grid()])?;
        let patch_len = CHANNELS * config.tubelet * vit.patch_size * vit.patch_size;
        Ok(Self {
            path: path.to_owned(),
            file: gguf.file().clone(),
            isa: Isa::detect(),
            config,
            patch_embed: Linear::open(&gguf, "patch_embed.proj", vit.width, patch_len)?,
            blocks: vit.open_blocks(&gguf)?,
            positions: sinusoids(tokens, vit.width),
            #[cfg(any(feature = "cuda", test))]
            device: None,
        })
    }

    /// See [`MappedFile::release_pages`].
    pub(crate) fn release_pages(&self) {
        self.file.release_pages();
    }

    /// The extents.
    pub fn config(&self) -> &VideoMaeConfig {
        &self.config
    }

    /// The clip's feature: the mean of all tokens after the last block, `[width]`.
    ///
    /// `frames` is `[frames, 3, image_size, image_size]` in 0..=1, each as
    /// [`unit_picture`](crate::preprocess::unit_picture) makes it.
    ///
    /// # Errors
    /// `invalid_argument` for another number of values or one that is not finite, `cancelled`, `pack_invalid` if the weights
    /// turn out to be damaged.
    pub fn forward(&self, frames: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(result) = device::vit(&self.device, &self.path, frames, cancel, None) {
            return result;
        }
        self.forward_observed(frames, cancel, &mut |_, _| {})
    }

    /// As [`VideoMae::forward`]; `observe` is given `embeddings` and `layer_N`, each `[tokens, width]`.
    ///
    /// # Errors
    /// As [`VideoMae::forward`].
    pub fn forward_observed(
        &self,
        frames: &[f32],
        cancel: &CancelToken,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(result) = device::vit(&self.device, &self.path, frames, cancel, Some(&mut *observe)) {
            return result;
        }
        let VideoMaeConfig { vit, frames: count, tubelet } = &self.config;
        check_pixels(vit, frames, *count)?;
        let mut x = self.patch_embed.forward(self.isa, &patch_rows(vit, frames, *tubelet), cancel)?;
        add(&mut x, &self.positions);
        observe("embeddings", &x);
        for (i, block) in self.blocks.iter().enumerate() {
            cancel.check()?;
            block.forward(self.isa, &mut x, cancel)?;
            observe(&format!("layer_{i}"), &x);
        }
        let mean = mean_of_rows(x.chunks_exact(vit.width), vit.width);
        check_finite(&mean, &self.path)?;
        Ok(mean)
    }
}

#[cfg(any(feature = "cuda", test))]
impl VideoMae {
    /// Copies the weights to a device, where everything is computed from then on. Should the device be lost, the call that notices fails
    /// with `unreachable`, and further ones are computed on the CPU.
    ///
    /// # Errors
    /// `out_of_memory` if the device has too little, `unreachable` if it fails; the encoder then stays where it was.
    pub fn move_to_device(&mut self, place: &Place) -> Result<()> {
        let parts = VitParts {
            config: self.config.vit,
            frames: self.config.frames,
            tubelet: self.config.tubelet,
            patch_embed: &self.patch_embed,
            cls_token: None,
            positions: &self.positions,
            blocks: &self.blocks,
            norm: None,
            block_name: "layer",
            output: Output::Mean,
        };
        self.device = Some(Placed::new(DeviceVit::new(&parts, place)?, place));
        Ok(())
    }

    /// As [`VideoMae::forward`], for `pixels` `[frames, 3, image_size, image_size]` that lie on the model's device already, in its type.
    ///
    /// # Errors
    /// As [`VideoMae::forward`]; `invalid_argument` if the model is on no device, or not on that of `pixels`.
    pub fn forward_tensor(&self, pixels: &Tensor, cancel: &CancelToken) -> Result<Vec<f32>> {
        device::vit_tensor(&self.device, &self.path, pixels, cancel)
    }

    /// Where the model computes, unless that is the CPU.
    pub fn place(&self) -> Option<&Place> {
        self.device.as_ref().filter(|placed| placed.is_there()).map(Placed::place)
    }

    /// Gives the device's memory back; everything is computed on the CPU again.
    pub fn move_to_host(&mut self) {
        self.device = None;
    }
}

/// `get_sinusoid_encoding_table`: `[tokens, width]`, sines in even columns, cosines in odd ones, in f64 until stored.
fn sinusoids(tokens: usize, width: usize) -> Vec<f32> {
    let rates: Vec<f64> = (0..width).map(|i| 10_000f64.powf((2 * (i / 2)) as f64 / width as f64)).collect();
    let row = |token: usize| {
        rates.iter().enumerate().map(move |(i, rate)| {
            let angle = token as f64 / rate;
            (if i.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
        })
    };
    (0..tokens).flat_map(row).collect()
}
