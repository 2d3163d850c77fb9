//! The voice encoder on a device: as [`Hubert`](crate::encoders::hubert::Hubert), which it is made of.

use candle_core::Tensor;

use super::block::{dense, Block, LayerNorm};
use super::vit::mean_of_rows;
use super::weights::Linear;
use super::{download, Place};
use crate::cancel::CancelToken;
#[cfg(feature = "cuda")]
use crate::cuda::audio::UnitVariance;
use crate::encoders::hubert::{ConvLayer, HubertConfig, PositionalConv, FRAMES_AT_ONCE};
use crate::encoders::transformer as host;
use crate::encoders::Observer;
use crate::error::Result;
use crate::preprocess::zero_mean_unit_variance;

/// Frames of one product in the positional convolution: at full size their windows take 67 MB of f16.
const POSITION_ROWS: usize = 256;

/// What the voice encoder is made of on the host.
pub(crate) struct HubertParts<'a> {
    pub(crate) config: &'a HubertConfig,
    pub(crate) conv_layers: &'a [ConvLayer],
    pub(crate) feature_norm: &'a host::LayerNorm,
    pub(crate) feature_projection: &'a host::Linear,
    pub(crate) pos_conv: &'a PositionalConv,
    pub(crate) blocks: &'a [host::Block],
    pub(crate) norm: &'a host::LayerNorm,
}

/// The voice encoder whose weights lie on a device.
pub(crate) struct DeviceHubert {
    config: HubertConfig,
    place: Place,
    /// None on candle's own device, whose memory is the host's.
    #[cfg(feature = "cuda")]
    unit_variance: Option<Box<UnitVariance>>,
    conv_layers: Vec<Conv>,
    feature_norm: LayerNorm,
    feature_projection: Linear,
    pos_conv: Positions,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

/// A convolution over time with layer normalisation over channels and GELU.
struct Conv {
    /// `[kernel * channels in, channels out]`.
    weight: Tensor,
    bias: Tensor,
    norm: LayerNorm,
    kernel: usize,
    stride: usize,
}

/// The positional branch.
struct Positions {
    /// `[groups, kernel * channels in, channels out]`.
    weight: Tensor,
    bias: Tensor,
    kernel: usize,
}

impl Conv {
    fn new(layer: &ConvLayer, place: &Place) -> Result<Self> {
        let dim = layer.bias.len();
        Ok(Self {
            weight: place.upload(&layer.weight, &[layer.kernel * layer.channels_in, dim])?,
            bias: place.upload(&layer.bias, &[dim])?,
            norm: LayerNorm::new(&layer.norm, place)?,
            kernel: layer.kernel,
            stride: layer.stride,
        })
    }

    /// `x` `[steps, channels in]` to `[(steps - kernel) / stride + 1, channels out]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let out = windows(x, 0, self.kernel, self.stride)?.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        Ok(self.norm.forward(&out)?.gelu_erf()?)
    }
}

impl Positions {
    fn new(conv: &PositionalConv, place: &Place) -> Result<Self> {
        let (width, group_width) = (conv.bias.len(), conv.group_width);
        Ok(Self {
            weight: place.upload(&conv.weight, &[width / group_width, conv.kernel * group_width, group_width])?,
            bias: place.upload(&conv.bias, &[width])?,
            kernel: conv.kernel,
        })
    }

    /// `x` `[frames, width]` to the same shape.
    fn forward(&self, x: &Tensor, cancel: &CancelToken) -> Result<Tensor> {
        let (frames, width) = x.dims2()?;
        let (groups, _, group_width) = self.weight.dims3()?;
        let before = self.kernel / 2;
        let padded = x.pad_with_zeros(0, before, self.kernel - before)?;
        let padded = padded.reshape((frames + self.kernel, groups, group_width))?.transpose(0, 1)?;
        let mut parts = Vec::new();
        for first in (0..frames).step_by(POSITION_ROWS) {
            cancel.check()?;
            let rows = POSITION_ROWS.min(frames - first);
            let stretch = padded.narrow(1, first, rows + self.kernel - 1)?;
            let out = windows(&stretch, 1, self.kernel, 1)?.matmul(&self.weight)?;
            parts.push(out.transpose(0, 1)?.contiguous()?.reshape((rows, width))?);
        }
        Ok(Tensor::cat(&parts, 0)?.broadcast_add(&self.bias)?.gelu_erf()?)
    }
}

impl DeviceHubert {
    /// Copies the weights to where `place` says.
    pub(crate) fn new(parts: &HubertParts<'_>, place: &Place) -> Result<Self> {
        Ok(Self {
            config: parts.config.clone(),
            place: place.clone(),
            #[cfg(feature = "cuda")]
            unit_variance: UnitVariance::new(place)?.map(Box::new),
            conv_layers: parts.conv_layers.iter().map(|layer| Conv::new(layer, place)).collect::<Result<_>>()?,
            feature_norm: LayerNorm::new(parts.feature_norm, place)?,
            feature_projection: Linear::of_encoder(parts.feature_projection, place)?,
            pos_conv: Positions::new(parts.pos_conv, place)?,
            blocks: parts.blocks.iter().map(|block| Block::new(block, place)).collect::<Result<_>>()?,
            norm: LayerNorm::new(parts.norm, place)?,
        })
    }

    /// As [`Hubert::forward_observed`](crate::encoders::hubert::Hubert::forward_observed), for samples that were checked.
    pub(crate) fn forward(
        &self,
        samples: &[f32],
        cancel: &CancelToken,
        mut observe: Option<&mut Observer<'_>>,
    ) -> Result<Vec<f32>> {
        let mut show = |name: &str, rows: &Tensor| -> Result<()> {
            if let Some(observe) = &mut observe {
                observe(name, &download(rows)?);
            }
            Ok(())
        };
        let input = self.normalised(samples)?;
        show("input_values", &input)?;
        let features = self.conv_features(&input, cancel)?;
        show("conv_features", &features.t()?)?;
        let mut x = dense(&self.feature_projection, &self.feature_norm.forward(&features)?)?;
        drop(features);
        show("projected", &x)?;
        let positions = self.pos_conv.forward(&x, cancel)?;
        show("pos_conv", &positions)?;
        x = (x + positions)?;
        for (i, block) in self.blocks.iter().enumerate() {
            show(&format!("hidden_{i}"), &x)?;
            cancel.check()?;
            x = block.forward(&x)?;
        }
        show("before_final_norm", &x)?;
        let x = self.norm.forward(&x)?;
        show(&format!("hidden_{}", self.config.depth), &x)?;
        cancel.check()?;
        let mean = mean_of_rows(&x)?;
        show("mean_pooled", &mean)?;
        download(&mean)
    }

    /// `samples` as the convolutions take them, in f32.
    fn normalised(&self, samples: &[f32]) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Some(unit_variance) = &self.unit_variance {
            return unit_variance.make(samples);
        }
        let values = zero_mean_unit_variance(samples)?;
        Ok(Tensor::from_vec(values, samples.len(), self.place.device())?)
    }

    /// `input` `[samples]` to `[frames, conv_dim]`, a stretch of frames at a time.
    fn conv_features(&self, input: &Tensor, cancel: &CancelToken) -> Result<Tensor> {
        let frames = self.config.frames_of(input.dim(0)?);
        let hop: usize = self.config.conv_stride.iter().product();
        let mut features = Vec::new();
        for first in (0..frames).step_by(FRAMES_AT_ONCE) {
            let samples = self.config.samples_for(FRAMES_AT_ONCE.min(frames - first)).unwrap_or(usize::MAX);
            let stretch = input.narrow(0, first * hop, samples)?;
            let mut x = stretch.reshape((samples, 1))?.to_dtype(self.place.dtype())?;
            for layer in &self.conv_layers {
                cancel.check()?;
                x = layer.forward(&x)?;
            }
            features.push(x);
        }
        Ok(Tensor::cat(&features, 0)?)
    }
}

/// Each `kernel` neighbouring steps of `x` `[.., steps, channels]` as a row, the next one `stride` steps later:
/// `[.., (steps - kernel) / stride + 1, kernel * channels]`. Axis `axis`, the last but one, is that of steps.
fn windows(x: &Tensor, axis: usize, kernel: usize, stride: usize) -> Result<Tensor> {
    let windows = x.unfold(axis, kernel, stride)?;
    // What `unfold` adds is the last axis; a row goes step by step.
    let windows = windows.transpose(axis + 1, axis + 2)?.contiguous()?;
    Ok(windows.flatten_from(axis + 1)?)
}
