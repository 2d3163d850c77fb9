//! The picture encoder: EVA-CLIP ViT-g/14 (Sun et al. 2023).
//!
//! Follows MiniGPT-v2's `minigpt4/models/eva_vit.py` (`create_eva_vit_g`, `interpolate_pos_embed`) and `ln_vision` of
//! `minigpt4/models/base_model.py`, which Emotion-LLaMA uses unchanged: the pre-training file has 40 blocks of which the first
//! 39 are run, queries and values have biases and keys have none (the file holds zeros there), nothing is normalised after the
//! last block but by `ln_vision`. The file's positions are for 16 x 16 patches; a picture of 448 x 448 has 32 x 32, so they are
//! interpolated when the file is opened.
//!
//! At full size a picture is 1025 tokens of 1408 values; activations take about 60 MB beside the mapped weights.

use std::path::{Path, PathBuf};

use super::metadata::{check_finite, Metadata};
use super::transformer::LayerNorm;
use super::vit::Vit;
pub use super::vit::{Observer, VitConfig};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{self, DeviceVit, Output, Place, Placed, Tensor, VitParts};
use crate::error::Result;
use crate::gguf::{vector, Gguf, MappedFile};

/// EVA's extents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaConfig {
    /// The transformer's.
    pub vit: VitConfig,
    /// Patches along a side in the file's position embedding, before interpolation.
    pub position_grid: usize,
    /// Added to the variance in `ln_vision`.
    pub ln_vision_eps: f32,
}

/// The picture encoder.
#[derive(Debug)]
pub struct EvaViT {
    path: PathBuf,
    file: MappedFile,
    config: EvaConfig,
    vit: Vit,
    ln_vision: LayerNorm,
    #[cfg(any(feature = "cuda", test))]
    device: Option<Placed<DeviceVit>>,
}

impl EvaViT {
    /// Opens a converted checkpoint (`eva.gguf`). Matrices stay mapped; positions are interpolated here.
    ///
    /// # Errors
    /// `not_found` without a file; `pack_invalid` naming file and key or tensor, if one is missing or of other extents.
    pub fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let metadata = Metadata::new(&gguf, "eva")?;
        let config = EvaConfig {
            vit: VitConfig::read(&metadata)?,
            position_grid: metadata.width("position_grid")?,
            ln_vision_eps: metadata.eps("ln_vision_eps")?,
        };
        let (width, from) = (config.vit.width, config.position_grid);
        let positions = vector(&gguf, "pos_embed", &[1 + metadata.tokens(&[from, from])?, width])?;
        let positions = interpolate_positions(&positions, width, from, config.vit.grid());
        Ok(Self {
            path: path.to_owned(),
            file: gguf.file().clone(),
            vit: Vit::open(&gguf, config.vit, positions)?,
            ln_vision: LayerNorm::open(&gguf, "ln_vision", width, config.ln_vision_eps)?,
            config,
            #[cfg(any(feature = "cuda", test))]
            device: None,
        })
    }

    /// See [`MappedFile::release_pages`].
    pub(crate) fn release_pages(&self) {
        self.file.release_pages();
    }

    /// The extents.
    pub fn config(&self) -> &EvaConfig {
        &self.config
    }

    /// Rows of the output: the class token and one per patch.
    pub fn tokens(&self) -> usize {
        1 + self.config.vit.grid() * self.config.vit.grid()
    }

    /// The position embedding after interpolation, `[tokens, width]`; row 0 is the class token's.
    pub fn pos_embed(&self) -> &[f32] {
        &self.vit.pos_embed
    }

    /// All tokens `[tokens, width]` after the last block and `ln_vision`, the class token first, then patches row by row.
    ///
    /// `pixels` is `[3, image_size, image_size]`, as
    /// [`clip_picture`](crate::preprocess::clip_picture) makes it.
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

    /// As [`EvaViT::forward`]; `observe` is given `embeddings`, `block_N` and `ln_vision`, each `[tokens, width]`.
    ///
    /// # Errors
    /// As [`EvaViT::forward`].
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
        let x = self.ln_vision.forward(self.vit.isa, &x);
        observe("ln_vision", &x);
        check_finite(&x, &self.path)?;
        Ok(x)
    }
}

#[cfg(any(feature = "cuda", test))]
impl EvaViT {
    /// Copies the weights to a device, where everything is computed from then on. Should the device be lost, the call that notices fails
    /// with `unreachable`, and further ones are computed on the CPU.
    ///
    /// # Errors
    /// `out_of_memory` if the device has too little, `unreachable` if it fails; the encoder then stays where it was.
    pub fn move_to_device(&mut self, place: &Place) -> Result<()> {
        let parts = VitParts { norm: Some((&self.ln_vision, "ln_vision")), output: Output::Tokens, ..self.vit.parts() };
        self.device = Some(Placed::new(DeviceVit::new(&parts, place)?, place));
        Ok(())
    }

    /// As [`EvaViT::forward`], for `pixels` `[1, 3, image_size, image_size]` that lie on the model's device already, in its type.
    ///
    /// # Errors
    /// As [`EvaViT::forward`]; `invalid_argument` if the model is on no device, or not on that of `pixels`.
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

/// Resizes positions `[1 + from², width]` to `[1 + to², width]`; the class token's row stays.
///
/// As torch's `interpolate(mode="bicubic", align_corners=False)`: cubic convolution with a = -0.75 between the four nearest
/// positions, the outermost repeated beyond the edge; the filter is not widened when shrinking.
fn interpolate_positions(positions: &[f32], width: usize, from: usize, to: usize) -> Vec<f32> {
    if from == to {
        return positions.to_vec();
    }
    let (class_token, grid) = positions.split_at(width);
    let taps: Vec<_> = (0..to).map(|i| cubic_taps(i, from, to)).collect();
    let weighted = |line: &[f32], stride: usize, taps: &[(usize, f32); 4], out: &mut [f32]| {
        for &(at, weight) in taps {
            let row = line.get(at * stride..at * stride + width).unwrap_or_default();
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    };
    // Along each row of positions first, then across rows.
    let mut wide = vec![0f32; from * to * width];
    for (row, out) in grid.chunks_exact(from * width).zip(wide.chunks_exact_mut(to * width)) {
        taps.iter().zip(out.chunks_exact_mut(width)).for_each(|(taps, out)| weighted(row, width, taps, out));
    }
    let mut out = class_token.to_vec();
    out.resize((1 + to * to) * width, 0.0);
    for (i, out) in out.chunks_exact_mut(width).skip(1).enumerate() {
        let column = wide.get(i % to * width..).unwrap_or_default();
        taps.get(i / to).into_iter().for_each(|taps| weighted(column, to * width, taps, out));
    }
    out
}

/// The four source positions of target `i` and their weights.
fn cubic_taps(i: usize, from: usize, to: usize) -> [(usize, f32); 4] {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let source = (i as f32 + 0.5) * (from as f32 / to as f32) - 0.5;
    let (floor, t) = (source.floor(), source - source.floor());
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    [0, 1, 2, 3].map(|tap| {
        let at = (floor + tap as f32 - 1.0).clamp(0.0, (from - 1) as f32) as usize;
        (at, weights[tap])
    })
}
