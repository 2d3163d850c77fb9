//! The vision transformers on a device: EVA, MAE and VideoMAE on one forward pass.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::block::{dense, Block, LayerNorm};
use super::weights::Linear;
use super::{download, Place, Placed};
use crate::cancel::CancelToken;
use crate::encoders::metadata::check_finite;
use crate::encoders::transformer as host;
use crate::encoders::vit::check_pixels;
use crate::encoders::{Observer, VitConfig};
use crate::error::{Error, Result};

/// Red, green and blue.
const CHANNELS: usize = 3;

/// What a vision transformer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// All tokens, row by row.
    Tokens,
    /// The class token, which is the first.
    ClassToken,
    /// The mean of all tokens.
    Mean,
}

/// What a vision transformer is made of on the host.
pub(crate) struct VitParts<'a> {
    /// The extents.
    pub(crate) config: VitConfig,
    /// Frames that are seen together.
    pub(crate) frames: usize,
    /// Frames that a token spans; divides `frames`.
    pub(crate) tubelet: usize,
    /// Over the pixels of a patch, `[channel, frame, y, x]`.
    pub(crate) patch_embed: &'a host::Linear,
    /// The row in front of the patches', if there is one.
    pub(crate) cls_token: Option<&'a [f32]>,
    /// Added to all rows.
    pub(crate) positions: &'a [f32],
    /// The transformer's layers.
    pub(crate) blocks: &'a [host::Block],
    /// The last norm, and the name that its output is shown by.
    pub(crate) norm: Option<(&'a host::LayerNorm, &'static str)>,
    /// What a block's output is shown by, before its number.
    pub(crate) block_name: &'static str,
    /// What comes out.
    pub(crate) output: Output,
}

/// A vision transformer whose weights lie on a device.
pub(crate) struct DeviceVit {
    config: VitConfig,
    place: Place,
    frames: usize,
    tubelet: usize,
    patch_embed: Linear,
    cls_token: Option<Tensor>,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Option<(LayerNorm, &'static str)>,
    block_name: &'static str,
    output: Output,
}

impl DeviceVit {
    /// Copies the weights to where `place` says.
    pub(crate) fn new(parts: &VitParts<'_>, place: &Place) -> Result<Self> {
        let width = parts.config.width;
        let rows = |values: &[f32]| place.upload(values, &[values.len() / width, width]);
        let norm =
            |(norm, name): (&host::LayerNorm, &'static str)| Ok::<_, Error>((LayerNorm::new(norm, place)?, name));
        Ok(Self {
            config: parts.config,
            place: place.clone(),
            frames: parts.frames,
            tubelet: parts.tubelet,
            patch_embed: Linear::of_encoder(parts.patch_embed, place)?,
            cls_token: parts.cls_token.map(rows).transpose()?,
            positions: rows(parts.positions)?,
            blocks: parts.blocks.iter().map(|block| Block::new(block, place)).collect::<Result<_>>()?,
            norm: parts.norm.map(norm).transpose()?,
            block_name: parts.block_name,
            output: parts.output,
        })
    }

    fn forward(&self, pixels: &[f32], cancel: &CancelToken, observe: Option<&mut Observer<'_>>) -> Result<Vec<f32>> {
        let side = self.config.image_size;
        let pixels = self.place.upload(pixels, &[self.frames, CHANNELS, side, side])?;
        download(&self.run(&pixels, cancel, observe)?)
    }

    /// `pixels` `[frames, 3, image_size, image_size]` on the device to what [`Output`] says, in the type of activations.
    fn run(&self, pixels: &Tensor, cancel: &CancelToken, mut observe: Option<&mut Observer<'_>>) -> Result<Tensor> {
        let mut show = |name: &str, rows: &Tensor| -> Result<()> {
            if let Some(observe) = &mut observe {
                observe(name, &download(rows)?);
            }
            Ok(())
        };
        let patches = dense(&self.patch_embed, &self.patch_rows(pixels)?)?;
        let tokens = match &self.cls_token {
            Some(class) => Tensor::cat(&[class, &patches], 0)?,
            None => patches,
        };
        let mut x = (tokens + &self.positions)?;
        show("embeddings", &x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            cancel.check()?;
            x = block.forward(&x)?;
            show(&format!("{}_{i}", self.block_name), &x)?;
        }
        if let Some((norm, name)) = &self.norm {
            x = norm.forward(&x)?;
            show(name, &x)?;
        }
        cancel.check()?;
        Ok(match self.output {
            Output::Tokens => x,
            Output::ClassToken => x.narrow(0, 0, 1)?,
            Output::Mean => mean_of_rows(&x)?,
        })
    }

    /// The pixels of each patch as a row `[channel, frame, y, x]`, patches of a frame row by row and frames `tubelet` at a time.
    fn patch_rows(&self, pixels: &Tensor) -> Result<Tensor> {
        let (frames, tubelet) = (pixels.dim(0)?, self.tubelet);
        let (patch, grid) = (self.config.patch_size, self.config.grid());
        let patches = pixels.reshape(&[frames / tubelet, tubelet, CHANNELS, grid, patch, grid, patch][..])?;
        let patches = patches.permute([0, 3, 5, 2, 1, 4, 6])?.contiguous()?;
        Ok(patches.reshape((frames / tubelet * grid * grid, CHANNELS * tubelet * patch * patch))?)
    }
}

/// What an encoder gives for `pixels` `[frames, 3, image_size, image_size]`, as its own `forward_observed`; None unless `model` lies on a
/// device that is there. `path` is the encoder's file.
pub(crate) fn vit(
    model: &Option<Placed<DeviceVit>>,
    path: &Path,
    pixels: &[f32],
    cancel: &CancelToken,
    observe: Option<&mut Observer<'_>>,
) -> Option<Result<Vec<f32>>> {
    let placed = model.as_ref().filter(|placed| placed.is_there())?;
    let run = || {
        check_pixels(&placed.model().config, pixels, placed.model().frames)?;
        let values = placed.run(|model| model.forward(pixels, cancel, observe))?;
        check_finite(&values, path)?;
        Ok(values)
    };
    Some(run())
}

/// As [`vit`], for `pixels` that lie where `model` does, in its type.
///
/// # Errors
/// `invalid_argument` for pixels of another size, type or device, and where the model is on none; `unreachable` once the device is lost.
pub(crate) fn vit_tensor(
    model: &Option<Placed<DeviceVit>>,
    path: &Path,
    pixels: &Tensor,
    cancel: &CancelToken,
) -> Result<Vec<f32>> {
    let Some(placed) = model else {
        return Err(Error::invalid_argument("the encoder is not on a device; give it the pixels' values"));
    };
    if !placed.is_there() {
        return Err(Error::unreachable("the GPU was lost meanwhile; what follows is computed on the CPU"));
    }
    let DeviceVit { config, frames, place, .. } = placed.model();
    let wanted = [*frames, CHANNELS, config.image_size, config.image_size];
    let fits = pixels.dims() == wanted && pixels.dtype() == place.dtype();
    if !fits || !pixels.device().same_device(place.device()) {
        return Err(Error::invalid_argument(format!(
            "the encoder takes {wanted:?} {:?} on its own device, it was given {:?} {:?}",
            place.dtype(),
            pixels.dims(),
            pixels.dtype()
        )));
    }
    let values = placed.run(|model| download(&model.run(pixels, cancel, None)?))?;
    check_finite(&values, path)?;
    Ok(values)
}

/// The mean of the rows of `x` `[n, width]`, `[1, width]` in f32.
pub(super) fn mean_of_rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_dtype(DType::F32)?.mean_keepdim(0)?)
}
