//! The voice encoder: HuBERT (Hsu et al. 2021), the large layout, as in chinese-hubert-large.
//!
//! Follows transformers' `modeling_hubert.py` (4.x): seven convolutions, each with layer normalisation over its channels and
//! GELU (`feat_extract_norm` "layer"), turn samples at 16 kHz into 50 frames a second; they are normalised and projected to the
//! transformer's width; a grouped convolution over time gives positions; pre-norm layers follow
//! (`do_stable_layer_norm`), and a final norm. There is no attention mask: a recording is taken whole.
//!
//! Memory: the convolutions run over stretches of [`FRAMES_AT_ONCE`] frames, which gives the same values since nothing in them
//! looks further than a frame's own samples. The transformer holds about six rows of `width` values per frame (1.2 MB for a
//! second of sound at 1024 wide) and scores for a few frames at a time. Its attention takes time in the square of the length.

use std::path::{Path, PathBuf};

use super::metadata::{check_finite, Metadata};
use super::transformer::{for_rows, gelu, Block, BlockExtents, LayerNorm, Linear, Naming};
use super::vit::{mean_of_rows, Observer};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{DeviceHubert, HubertParts, Place, Placed};
use crate::error::{Error, Result};
use crate::gguf::{vector, Gguf, MappedFile};
use crate::kernels::{add, sgemm, Isa, View};
#[cfg(any(feature = "cuda", test))]
use crate::preprocess::check_samples;
use crate::preprocess::zero_mean_unit_variance;

/// Frames whose samples go through the convolutions together: 5 s, 33 MB in the first layer at full size.
pub const FRAMES_AT_ONCE: usize = 256;
/// Frames of one product in the positional convolution.
const POSITION_ROWS: usize = 1024;
/// Bound of one stretch's samples times channels (published: 42 million).
const MAX_CONV_VALUES: usize = 1 << 28;

/// HuBERT's extents. Original names of transformers' `HubertConfig` in brackets.
#[derive(Debug, Clone, PartialEq)]
pub struct HubertConfig {
    /// Width of a frame's row [`hidden_size`].
    pub width: usize,
    /// Transformer layers [`num_hidden_layers`].
    pub depth: usize,
    /// Attention heads [`num_attention_heads`]; divides `width`.
    pub heads: usize,
    /// Width of the feed-forward layer [`intermediate_size`].
    pub mlp: usize,
    /// Channels of every convolution [`conv_dim`].
    pub conv_dim: usize,
    /// Kernel of each convolution over time [`conv_kernel`].
    pub conv_kernel: Vec<usize>,
    /// Stride of each convolution over time [`conv_stride`].
    pub conv_stride: Vec<usize>,
    /// Kernel of the positional convolution [`num_conv_pos_embeddings`].
    pub pos_conv_kernel: usize,
    /// Groups of the positional convolution [`num_conv_pos_embedding_groups`]; divides `width`.
    pub pos_conv_groups: usize,
    /// Added to the variance in every norm [`layer_norm_eps`].
    pub norm_eps: f32,
}

impl HubertConfig {
    fn read(metadata: &Metadata<'_>) -> Result<Self> {
        let BlockExtents { width, depth, heads, mlp, eps } = BlockExtents::read(metadata)?;
        let config = Self {
            width,
            depth,
            heads,
            mlp,
            conv_dim: metadata.width("conv_dim")?,
            conv_kernel: metadata.widths("conv_kernel")?,
            conv_stride: metadata.widths("conv_stride")?,
            pos_conv_kernel: metadata.width("pos_conv_kernel")?,
            pos_conv_groups: metadata.width("pos_conv_groups")?,
            norm_eps: eps,
        };
        metadata.divide(("width", width), ("pos_conv_groups", config.pos_conv_groups))?;
        let layers = config.conv_kernel.len();
        if !(1..=16).contains(&layers) || config.conv_stride.len() != layers {
            return Err(metadata
                .damaged(format!("there are {layers} convolution kernels and {} strides", config.conv_stride.len())));
        }
        // The first layer's output has at most a row per sample.
        let stretch = config.samples_for(FRAMES_AT_ONCE).and_then(|samples| samples.checked_mul(config.conv_dim));
        if stretch.is_none_or(|values| values > MAX_CONV_VALUES) {
            return Err(metadata.damaged("the convolutions' kernels and strides are not sensible".to_owned()));
        }
        Ok(config)
    }

    /// Samples that `frames` frames are made from; `None` where the number is out of range.
    pub(crate) fn samples_for(&self, frames: usize) -> Option<usize> {
        let mut layers = self.conv_kernel.iter().zip(&self.conv_stride).rev();
        layers.try_fold(frames, |steps, (kernel, stride)| {
            steps.checked_sub(1)?.checked_mul(*stride)?.checked_add(*kernel)
        })
    }

    /// Frames that `samples` samples make.
    pub(crate) fn frames_of(&self, samples: usize) -> usize {
        let layers = self.conv_kernel.iter().zip(&self.conv_stride);
        layers.fold(samples, |steps, (kernel, stride)| match steps.checked_sub(*kernel) {
            Some(rest) => rest / stride + 1,
            None => 0,
        })
    }
}

/// A convolution over time with layer normalisation over channels and GELU. Input and output have a row per time step.
#[derive(Debug)]
pub(crate) struct ConvLayer {
    /// `[kernel, channels in, channels out]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) norm: LayerNorm,
    pub(crate) channels_in: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

impl ConvLayer {
    fn open(gguf: &Gguf, index: usize, config: &HubertConfig) -> Result<Self> {
        let prefix = format!("feature_extractor.conv_layers.{index}");
        let channels_in = if index == 0 { 1 } else { config.conv_dim };
        let (dim, kernel) = (config.conv_dim, config.conv_kernel[index]);
        let stored = vector(gguf, &format!("{prefix}.conv.weight"), &[dim, channels_in, kernel])?;
        let mut weight = Vec::with_capacity(stored.len());
        for (tap, channel) in (0..kernel).flat_map(|tap| (0..channels_in).map(move |channel| (tap, channel))) {
            weight.extend(stored.iter().skip(channel * kernel + tap).step_by(channels_in * kernel));
        }
        Ok(Self {
            weight,
            bias: vector(gguf, &format!("{prefix}.conv.bias"), &[dim])?,
            norm: LayerNorm::open(gguf, &format!("{prefix}.layer_norm"), dim, config.norm_eps)?,
            channels_in,
            kernel,
            stride: config.conv_stride[index],
        })
    }

    /// `x` `[steps, channels in]` to `[(steps - kernel) / stride + 1, channels out]`; `steps` is at least `kernel`.
    fn forward(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let dim = self.bias.len();
        let depth = self.kernel * self.channels_in;
        let steps = (x.len() / self.channels_in).saturating_sub(self.kernel) / self.stride + 1;
        // Rows of the left factor are windows into `x`, which overlap.
        let windows = View::strided(x, steps, depth, self.stride * self.channels_in);
        let mut out = vec![0f32; steps * dim];
        sgemm(&mut out, dim, windows, View::new(&self.weight, depth, dim), 1.0);
        for_rows(&mut out, dim, |_, chunk| chunk.chunks_exact_mut(dim).for_each(|row| add(row, &self.bias)));
        let mut out = self.norm.forward(isa, &out);
        gelu(isa, &mut out, dim);
        out
    }
}

/// The positional branch: a convolution over time in groups of channels, the last step cut where the kernel is even, GELU.
#[derive(Debug)]
pub(crate) struct PositionalConv {
    /// For each group `[kernel, channels in, channels out]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) kernel: usize,
    pub(crate) group_width: usize,
}

impl PositionalConv {
    fn open(gguf: &Gguf, config: &HubertConfig) -> Result<Self> {
        let (width, kernel) = (config.width, config.pos_conv_kernel);
        let group_width = width / config.pos_conv_groups;
        let stored = vector(gguf, "encoder.pos_conv_embed.conv.weight", &[width, group_width, kernel])?;
        let mut weight = Vec::with_capacity(stored.len());
        for group in stored.chunks_exact(group_width * group_width * kernel) {
            for (tap, channel) in (0..kernel).flat_map(|tap| (0..group_width).map(move |channel| (tap, channel))) {
                weight.extend(group.iter().skip(channel * kernel + tap).step_by(group_width * kernel));
            }
        }
        let bias = vector(gguf, "encoder.pos_conv_embed.conv.bias", &[width])?;
        Ok(Self { weight, bias, kernel, group_width })
    }

    /// `x` `[frames, width]` to the same shape.
    fn forward(&self, isa: Isa, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let (width, group_width) = (self.bias.len(), self.group_width);
        let (frames, depth, pad) = (x.len() / width, self.kernel * group_width, self.kernel / 2);
        let mut out = vec![0f32; x.len()];
        let mut padded = vec![0f32; (frames + self.kernel) * group_width];
        for (group, weight) in self.weight.chunks_exact(depth * group_width).enumerate() {
            let column = group * group_width;
            for (row, x) in padded.chunks_exact_mut(group_width).skip(pad).zip(x.chunks_exact(width)) {
                row.copy_from_slice(&x[column..column + group_width]);
            }
            for first in (0..frames).step_by(POSITION_ROWS) {
                cancel.check()?;
                let rows = POSITION_ROWS.min(frames - first);
                let windows = View::strided(&padded[first * group_width..], rows, depth, group_width);
                let weight = View::new(weight, depth, group_width);
                sgemm(&mut out[first * width + column..], width, windows, weight, 1.0);
            }
        }
        for_rows(&mut out, width, |_, chunk| chunk.chunks_exact_mut(width).for_each(|row| add(row, &self.bias)));
        gelu(isa, &mut out, width);
        Ok(out)
    }
}

/// The voice encoder.
#[derive(Debug)]
pub struct Hubert {
    path: PathBuf,
    file: MappedFile,
    isa: Isa,
    config: HubertConfig,
    conv_layers: Vec<ConvLayer>,
    feature_norm: LayerNorm,
    feature_projection: Linear,
    pos_conv: PositionalConv,
    blocks: Vec<Block>,
    norm: LayerNorm,
    #[cfg(any(feature = "cuda", test))]
    device: Option<Placed<DeviceHubert>>,
}

impl Hubert {
    /// Opens a converted checkpoint (`hubert.gguf`). Matrices stay mapped; the convolutions' weights are unpacked (50 MB at
    /// full size).
    ///
    /// # Errors
    /// `not_found` without a file; `pack_invalid` naming file and key or tensor, if one is missing or of other extents.
    pub fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let config = HubertConfig::read(&Metadata::new(&gguf, "hubert")?)?;
        let (width, eps) = (config.width, config.norm_eps);
        let extents = BlockExtents { width, depth: config.depth, heads: config.heads, mlp: config.mlp, eps };
        let block = |i: usize| Block::open(&gguf, &format!("encoder.layers.{i}"), Naming::Hubert, &extents);
        Ok(Self {
            path: path.to_owned(),
            file: gguf.file().clone(),
            isa: Isa::detect(),
            conv_layers: (0..config.conv_kernel.len())
                .map(|i| ConvLayer::open(&gguf, i, &config))
                .collect::<Result<_>>()?,
            feature_norm: LayerNorm::open(&gguf, "feature_projection.layer_norm", config.conv_dim, eps)?,
            feature_projection: Linear::open(&gguf, "feature_projection.projection", width, config.conv_dim)?,
            pos_conv: PositionalConv::open(&gguf, &config)?,
            blocks: (0..config.depth).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::open(&gguf, "encoder.layer_norm", width, eps)?,
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
    pub fn config(&self) -> &HubertConfig {
        &self.config
    }

    /// The fewest samples that make a frame: 400, 25 ms, in the published model.
    pub fn min_samples(&self) -> usize {
        self.config.samples_for(1).unwrap_or(usize::MAX)
    }

    /// The recording's feature: the mean over time of the last hidden states (after the final norm), `[width]`.
    ///
    /// `samples` is the whole recording, mono, 16 kHz, in -1..=1; it is normalised here.
    ///
    /// # Errors
    /// `invalid_argument` for fewer than [`Hubert::min_samples`] or a sample that is not finite (upstream fails too: padding
    /// would make a feature of the padding), `cancelled`, `pack_invalid` if the weights turn out to be damaged.
    pub fn forward(&self, samples: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return self.forward_placed(placed, samples, cancel, None);
        }
        self.forward_observed(samples, cancel, &mut |_, _| {})
    }

    /// As [`Hubert::forward`]; `observe` is given `input_values` `[samples]`, `conv_features` `[conv_dim, frames]`,
    /// `projected`, `pos_conv` and `hidden_0` (their sum), `hidden_N` after layer N - 1 (the last after the final norm),
    /// `before_final_norm`, each `[frames, width]`, and `mean_pooled` `[width]`.
    ///
    /// # Errors
    /// As [`Hubert::forward`].
    pub fn forward_observed(
        &self,
        samples: &[f32],
        cancel: &CancelToken,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return self.forward_placed(placed, samples, cancel, Some(observe));
        }
        self.check_length(samples)?;
        let input = zero_mean_unit_variance(samples)?;
        observe("input_values", &input);
        let features = self.conv_features(&input, cancel)?;
        observe("conv_features", &transposed(&features, self.config.conv_dim));
        let mut x =
            self.feature_projection.forward(self.isa, &self.feature_norm.forward(self.isa, &features), cancel)?;
        drop(features);
        observe("projected", &x);
        let positions = self.pos_conv.forward(self.isa, &x, cancel)?;
        observe("pos_conv", &positions);
        add(&mut x, &positions);
        drop(positions);
        for (i, block) in self.blocks.iter().enumerate() {
            observe(&format!("hidden_{i}"), &x);
            cancel.check()?;
            block.forward(self.isa, &mut x, cancel)?;
        }
        observe("before_final_norm", &x);
        let x = self.norm.forward(self.isa, &x);
        observe(&format!("hidden_{}", self.config.depth), &x);
        let mean = mean_of_rows(x.chunks_exact(self.config.width), self.config.width);
        observe("mean_pooled", &mean);
        check_finite(&mean, &self.path)?;
        Ok(mean)
    }

    /// Refuses what makes no frame.
    fn check_length(&self, samples: &[f32]) -> Result<()> {
        if samples.len() < self.min_samples() {
            return Err(Error::invalid_argument(format!(
                "the recording has {} samples, the voice encoder needs {} at 16 kHz",
                samples.len(),
                self.min_samples()
            )));
        }
        Ok(())
    }

    /// `input` `[samples]` to `[frames, conv_dim]`, a stretch of frames at a time.
    fn conv_features(&self, input: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let frames = self.config.frames_of(input.len());
        let hop: usize = self.config.conv_stride.iter().product();
        let mut features = Vec::with_capacity(frames * self.config.conv_dim);
        for first in (0..frames).step_by(FRAMES_AT_ONCE) {
            let samples = self.config.samples_for(FRAMES_AT_ONCE.min(frames - first)).unwrap_or(usize::MAX);
            let stretch = input.get(first * hop..).unwrap_or_default();
            let mut x = stretch.get(..samples).unwrap_or_default().to_vec();
            for layer in &self.conv_layers {
                cancel.check()?;
                x = layer.forward(self.isa, &x);
            }
            features.extend(x);
        }
        Ok(features)
    }
}

#[cfg(any(feature = "cuda", test))]
impl Hubert {
    /// Copies the weights to a device, where everything is computed from then on. Should the device be lost, the call that notices fails
    /// with `unreachable`, and further ones are computed on the CPU.
    ///
    /// # Errors
    /// `out_of_memory` if the device has too little, `unreachable` if it fails; the encoder then stays where it was.
    pub fn move_to_device(&mut self, place: &Place) -> Result<()> {
        let parts = HubertParts {
            config: &self.config,
            conv_layers: &self.conv_layers,
            feature_norm: &self.feature_norm,
            feature_projection: &self.feature_projection,
            pos_conv: &self.pos_conv,
            blocks: &self.blocks,
            norm: &self.norm,
        };
        self.device = Some(Placed::new(DeviceHubert::new(&parts, place)?, place));
        Ok(())
    }

    /// Where the model computes, unless that is the CPU.
    pub fn place(&self) -> Option<&Place> {
        self.placed().map(Placed::place)
    }

    /// Gives the device's memory back; everything is computed on the CPU again.
    pub fn move_to_host(&mut self) {
        self.device = None;
    }

    /// The model on the device, while that is there.
    fn placed(&self) -> Option<&Placed<DeviceHubert>> {
        self.device.as_ref().filter(|placed| placed.is_there())
    }

    fn forward_placed(
        &self,
        placed: &Placed<DeviceHubert>,
        samples: &[f32],
        cancel: &CancelToken,
        observe: Option<&mut Observer<'_>>,
    ) -> Result<Vec<f32>> {
        self.check_length(samples)?;
        check_samples(samples)?;
        let mean = placed.run(|model| model.forward(samples, cancel, observe))?;
        check_finite(&mean, &self.path)?;
        Ok(mean)
    }
}

/// `x` `[n, width]` as `[width, n]`.
fn transposed(x: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| x.iter().skip(column).step_by(width).copied()).collect()
}
