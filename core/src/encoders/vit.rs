//! What the vision transformers share: patches, the class token, blocks.
//!
//! Follows Dosovitskiy et al. 2021 as timm 0.6.13 writes it (`VisionTransformer`): a convolution whose stride is its kernel
//! cuts the picture into patches, which is a dense layer over each patch's pixels; a class token goes in front; positions are
//! added; pre-norm blocks follow.

use super::metadata::Metadata;
use super::transformer::{Block, BlockExtents, Linear, Naming};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{Output, VitParts};
use crate::error::{Error, Result};
use crate::gguf::{vector, Gguf};
use crate::kernels::{add, Isa};

/// Red, green and blue.
pub(super) const CHANNELS: usize = 3;

/// Sees intermediate values by name, for comparison with a reference.
pub type Observer<'a> = dyn FnMut(&str, &[f32]) + 'a;

/// A vision transformer's extents. Original names in brackets, from timm or the file's metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VitConfig {
    /// Width of a token's row [`embed_dim`].
    pub width: usize,
    /// Blocks that are run [`depth`].
    pub depth: usize,
    /// Attention heads [`num_heads`]; divides `width`.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub mlp: usize,
    /// Side of the square input, in pixels [`img_size`].
    pub image_size: usize,
    /// Side of a square patch, in pixels [`patch_size`]; divides `image_size`.
    pub patch_size: usize,
    /// Added to the variance in the blocks' norms.
    pub norm_eps: f32,
}

impl VitConfig {
    pub(super) fn read(metadata: &Metadata<'_>) -> Result<Self> {
        let BlockExtents { width, depth, heads, mlp, eps } = BlockExtents::read(metadata)?;
        let config = Self {
            width,
            depth,
            heads,
            mlp,
            image_size: metadata.width("image_size")?,
            patch_size: metadata.width("patch_size")?,
            norm_eps: eps,
        };
        let grid = metadata.divide(("image_size", config.image_size), ("patch_size", config.patch_size))?;
        metadata.tokens(&[grid, grid])?;
        Ok(config)
    }

    /// Patches along a side of the picture.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Values of one frame `[3, image_size, image_size]`.
    pub(super) fn frame_len(&self) -> usize {
        CHANNELS * self.image_size * self.image_size
    }

    pub(super) fn open_blocks(&self, gguf: &Gguf) -> Result<Vec<Block>> {
        let &Self { width, depth, heads, mlp, norm_eps: eps, .. } = self;
        let extents = BlockExtents { width, depth, heads, mlp, eps };
        (0..depth).map(|i| Block::open(gguf, &format!("blocks.{i}"), Naming::Timm, &extents)).collect()
    }
}

/// The pixels of each patch as a row `[channel, frame, y, x]`, patches of a frame row by row and frames `tubelet` at a time:
/// `[frames / tubelet * grid * grid, 3 * tubelet * patch_size²]` from `pixels` `[frames, 3, image_size, image_size]`.
pub(super) fn patch_rows(config: &VitConfig, pixels: &[f32], tubelet: usize) -> Vec<f32> {
    let (side, patch, grid) = (config.image_size, config.patch_size, config.grid());
    let mut rows = Vec::with_capacity(pixels.len());
    for frames in pixels.chunks_exact(tubelet * config.frame_len()) {
        for (top, left) in (0..grid * grid).map(|i| (i / grid * patch, i % grid * patch)) {
            for channel in 0..CHANNELS {
                for frame in frames.chunks_exact(config.frame_len()) {
                    let lines = frame.chunks_exact(side).skip(channel * side + top).take(patch);
                    lines.for_each(|line| rows.extend_from_slice(&line[left..left + patch]));
                }
            }
        }
    }
    rows
}

/// `Err(invalid_argument)` unless `pixels` holds `frames` frames and every value is a finite number.
pub(crate) fn check_pixels(config: &VitConfig, pixels: &[f32], frames: usize) -> Result<()> {
    let (side, wanted) = (config.image_size, frames * config.frame_len());
    if pixels.len() != wanted {
        return Err(Error::invalid_argument(format!(
            "the encoder takes {frames} x 3 x {side} x {side} values, it was given {}",
            pixels.len()
        )));
    }
    if pixels.iter().any(|value| !value.is_finite()) {
        return Err(Error::invalid_argument("a pixel given to the encoder is not a finite number"));
    }
    Ok(())
}

/// A vision transformer over single pictures, up to its last block: what EVA and MAE share.
#[derive(Debug)]
pub(super) struct Vit {
    pub(super) isa: Isa,
    pub(super) config: VitConfig,
    patch_embed: Linear,
    cls_token: Vec<f32>,
    pub(super) pos_embed: Vec<f32>,
    blocks: Vec<Block>,
}

impl Vit {
    /// Opens the patch embedding, class token and blocks. `pos_embed` is `[1 + grid², width]`, its first row for the class
    /// token.
    pub(super) fn open(gguf: &Gguf, config: VitConfig, pos_embed: Vec<f32>) -> Result<Self> {
        let patch_len = CHANNELS * config.patch_size * config.patch_size;
        Ok(Self {
            isa: Isa::detect(),
            patch_embed: Linear::open(gguf, "patch_embed.proj", config.width, patch_len)?,
            cls_token: vector(gguf, "cls_token", &[config.width])?,
            blocks: config.open_blocks(gguf)?,
            pos_embed,
            config,
        })
    }

    /// What a device needs for all tokens after the last block.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn parts(&self) -> VitParts<'_> {
        VitParts {
            config: self.config,
            frames: 1,
            tubelet: 1,
            patch_embed: &self.patch_embed,
            cls_token: Some(&self.cls_token),
            positions: &self.pos_embed,
            blocks: &self.blocks,
            norm: None,
            block_name: "block",
            output: Output::Tokens,
        }
    }

    /// All tokens `[1 + grid², width]` after the last block, from `pixels` `[3, image_size, image_size]`.
    ///
    /// Observed: `embeddings`, `block_N`.
    pub(super) fn forward(&self, pixels: &[f32], cancel: &CancelToken, observe: &mut Observer<'_>) -> Result<Vec<f32>> {
        check_pixels(&self.config, pixels, 1)?;
        let patches = self.patch_embed.forward(self.isa, &patch_rows(&self.config, pixels, 1), cancel)?;
        let mut x = Vec::with_capacity(self.pos_embed.len());
        x.extend_from_slice(&self.cls_token);
        x.extend(patches);
        add(&mut x, &self.pos_embed);
        observe("embeddings", &x);
        for (i, block) in self.blocks.iter().enumerate() {
            cancel.check()?;
            block.forward(self.isa, &mut x, cancel)?;
            observe(&format!("block_{i}"), &x);
        }
        Ok(x)
    }
}

/// The mean of the rows of `x` `[n, width]`, summed in f64; `[width]`.
pub(super) fn mean_of_rows<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let mut sums = vec![0f64; width];
    let mut count = 0usize;
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    sums.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
}
