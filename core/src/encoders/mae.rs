//! The face encoder: the encoder half of a masked autoencoder (He et al. 2022).
//!
//! Follows `models_mae.py` (`forward_encoder` without masking) of the MAE release, over timm's `Block`. Emotion-LLaMA's
//! repository only loads features that were extracted beforehand; the pooling here follows a third-party copy of the authors'
//! scripts: pixels in 0..=1 without normalisation, the class token after the final norm, the mean over a clip's frames.

use std::path::{Path, PathBuf};

use super::metadata::{check_finite, Metadata};
use super::transformer::LayerNorm;
use super::vit::{mean_of_rows, Observer, Vit, VitConfig};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{self, DeviceVit, Output, Place, Placed, Tensor, VitParts};
use crate::error::{Error, Result};
use crate::gguf::{vector, Gguf, MappedFile};

/// The face encoder.
#[derive(Debug)]
pub struct Mae {
    path: PathBuf,
    file: MappedFile,
    vit: Vit,
    norm: LayerNorm,
    #[cfg(any(feature = "cuda", test))]
    device: Option<Placed<DeviceVit>>,
}

impl Mae {
    /// Opens a converted checkpoint (`mae.gguf`). Matrices stay mapped.
    ///
    /// # Errors
    /// `not_found` without a file; `pack_invalid` naming file and key or tensor, if one is missing or of other extents.
    pub fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let config = VitConfig::read(&Metadata::new(&gguf, "mae")?)?;
        let positions = vector(&gguf, "pos_embed", &[1 + config.grid() * config.grid(), config.width])?;
        Ok(Self {
            path: path.to_owned(),
            file: gguf.file().clone(),
            vit: Vit::open(&gguf, config, positions)?,
            norm: LayerNorm::open(&gguf, "norm", config.width, config.norm_eps)?,
            #[cfg(any(feature = "cuda", test))]
            device: None,
        })
    }

    /// See [`MappedFile::release_pages`].
    pub(crate) fn release_pages(&self) {
        self.file.release_pages();
    }

    /// The extents.
    pub fn config(&self) -> &VitConfig {
        &self.vit.config
    }

    /// The class token after the final norm, `[width]`.
    ///
    /// `pixels` is `[3, image_size, image_size]` in 0..=1, as [`unit_picture`](crate::preprocess::unit_picture) makes it.
    ///
    /// # Errors
    /// `invalid_argument` for another number of values or one that is not finite, `cancelled`, `pack_invalid` if the weights
    /// turn out to be damaged.
    pub fn forward(&self, pixels: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(result) = device::vit(&self.device, &self.path, pixels, cancel, None) {
            return result;
        }
        self.forward_observed(pixels, cancel, &mut |_, _| {})
    }

    /// As [`Mae::forward`]; `observe` is given `embeddings`, `block_N` and `norm`, each `[1 + patches, width]`.
    ///
    /// # Errors
    /// As [`Mae::forward`].
    pub fn forward_observed(
        &self,
        pixels: &[f32],
        cancel: &CancelToken,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(result) = device::vit(&self.device, &self.path, pixels, cancel, Some(&mut *observe)) {
            return result;
        }
        let x = self.vit.forward(pixels, cancel, observe)?;
        let mut x = self.norm.forward(self.vit.isa, &x);
        observe("norm", &x);
        x.truncate(self.config().width);
        check_finite(&x, &self.path)?;
        Ok(x)
    }

    /// A clip's feature: the mean over its frames of [`Mae::forward`], `[width]`. `frames` is
    /// `[frames, 3, image_size, image_size]`, at least one.
    ///
    /// # Errors
    /// As [`Mae::forward`].
    pub fn forward_frames(&self, frames: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let frame_len = self.config().frame_len();
        if frames.is_empty() || !frames.len().is_multiple_of(frame_len) {
            return Err(Error::invalid_argument(format!(
                "the face encoder takes one or more frames of {frame_len} values, it was given {} values",
                frames.len()
            )));
        }
        let features =
            frames.chunks_exact(frame_len).map(|frame| self.forward(frame, cancel)).collect::<Result<Vec<_>>>()?;
        Ok(mean_of_rows(features.iter().map(Vec::as_slice), self.config().width))
    }
}

#[cfg(any(feature = "cuda", test))]
impl Mae {
    /// Copies the weights to a device, where everything is computed from then on. Should the device be lost, the call that notices fails
    /// with `unreachable`, and further ones are computed on the CPU.
    ///
    /// # Errors
    /// `out_of_memory` if the device has too little, `unreachable` if it fails; the encoder then stays where it was.
    pub fn move_to_device(&mut self, place: &Place) -> Result<()> {
        let parts = VitParts { norm: Some((&self.norm, "norm")), output: Output::ClassToken, ..self.vit.parts() };
        self.device = Some(Placed::new(DeviceVit::new(&parts, place)?, place));
        Ok(())
    }

    /// As [`Mae::forward`], for `pixels` `[1, 3, image_size, image_size]` that lie on the model's device already, in its type.
    ///
    /// # Errors
    /// As [`Mae::forward`]; `invalid_argument` if the model is on no device, or not on that of `pixels`.
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
