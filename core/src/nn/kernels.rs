//! The operations. Every function checks the shapes it is given: they come from a file.

use rayon::prelude::*;

use super::depthwise::{self, Tap};
use super::packed::{Packed, Rows};
use super::parameters::{Activation, Padding};
use super::tensor::{Tensor, Workspace};
use crate::error::{Error, Result};
use crate::kernels::Isa;

/// Values that an addition takes at a time.
const PIECE: usize = 1 << 12;

/// Where a window lies: size, stride and padding along one axis, and the output size that follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) before: usize,
    pub(super) stride: usize,
}

impl Axis {
    /// TensorFlow's rules: "same" gives `ceil(input / stride)` outputs with the odd padding pixel at the end.
    fn new(input: usize, window: usize, stride: usize, padding: Padding, vertical: bool) -> Result<Self> {
        let (before, after) = match padding {
            Padding::Valid => (0, 0),
            Padding::Same => {
                let needed = (input.div_ceil(stride).max(1) - 1) * stride + window;
                let total = needed.saturating_sub(input);
                (total / 2, total - total / 2)
            }
            Padding::Explicit([top, bottom, left, right]) => {
                if vertical {
                    (top, bottom)
                } else {
                    (left, right)
                }
            }
        };
        let padded = input + before + after;
        if input == 0 || padded < window {
            return Err(Error::pack(format!("a window of {window} does not fit into an input of {input}")));
        }
        Ok(Self { input, output: (padded - window) / stride + 1, before, stride })
    }
}

/// A weight `[height, width, channels]` of a depthwise convolution with its bias.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) stride: [usize; 2],
    pub(super) padding: Padding,
}

/// A weight `[height, width, in, out]` (`[in, out]` for a dense layer) with its bias, ready to be multiplied with.
#[derive(Debug, Clone)]
pub(super) struct Product {
    packed: Packed,
    window: [usize; 2],
    channels: usize,
    stride: [usize; 2],
    pub(super) padding: Padding,
}

impl From<Filter> for Product {
    /// From a weight of rank 4 or 2.
    fn from(filter: Filter) -> Self {
        let Filter { weight, bias, stride, padding } = filter;
        let (window, channels, columns) = match *weight.shape() {
            [height, width, channels, columns] => ([height, width], channels, columns),
            [channels, columns] => ([1, 1], channels, columns),
            _ => ([1, 1], 0, 0),
        };
        let data = weight.data();
        let bias = bias.as_ref().map_or(&[][..], Tensor::data);
        let depth = window[0] * window[1] * channels;
        let packed = Packed::new(depth, columns, |k, column| data[k * columns + column], bias);
        Self { packed, window, channels, stride, padding }
    }
}

impl Product {
    /// Rows of the weight: products in one sum.
    pub(super) fn depth(&self) -> usize {
        self.packed.depth()
    }
}

/// 2-D convolution. With `beside`, a tensor of the output's shape that nothing else needs, it is added before the activation.
pub(super) fn conv2d(
    x: &Tensor,
    filter: &Product,
    beside: Option<Tensor>,
    then: Activation,
    ws: &mut Workspace,
) -> Result<Tensor> {
    let [batch, height, width, channels] = x.nhwc()?;
    let ([kh, kw], ci, co) = (filter.window, filter.channels, filter.packed.columns());
    if ci != channels {
        return Err(Error::pack(format!("a convolution over {ci} channels was given {channels}")));
    }
    let rows = Axis::new(height, kh, filter.stride[0], filter.padding, true)?;
    let cols = Axis::new(width, kw, filter.stride[1], filter.padding, false)?;
    let shape = vec![batch, rows.output, cols.output, co];
    let add = beside.is_some();
    let mut out = match beside {
        Some(beside) if beside.shape() == shape => beside,
        Some(beside) => {
            return Err(Error::pack(format!("an addition was given shapes {shape:?} and {:?}", beside.shape())));
        }
        None => ws.tensor(shape)?,
    };
    if [kh, kw] == [1, 1] && filter.stride == [1, 1] && [rows.output, cols.output] == [height, width] {
        let rows = Rows::new(x.data(), batch * height * width, ci);
        filter.packed.apply(out.data_mut(), co, rows, add, then, ws.parallel);
        return Ok(out);
    }
    // The windows of a line of outputs begin a stride apart, and each is a piece of `kh` lines: no copy of them is made. Where they
    // reach beyond the picture, it is copied with a border.
    let reach = |axis: &Axis, window: usize| (axis.output - 1) * axis.stride + window;
    let (tall, wide) = (reach(&rows, kh).max(height + rows.before), reach(&cols, kw).max(width + cols.before));
    let bordered = match [tall, wide] == [height, width] {
        true => None,
        false => {
            let (below, right) = (tall - height - rows.before, wide - width - cols.before);
            Some(pad(x, [rows.before, below, cols.before, right, 0, 0], ws)?)
        }
    };
    let data = bordered.as_ref().unwrap_or(x).data();
    let (line, out_line) = (wide * ci, cols.output * co);
    let compute = |(number, out): (usize, &mut [f32])| {
        let (image, row) = (number / rows.output, number % rows.output);
        let data = &data[(image * tall + row * rows.stride) * line..];
        let rows = Rows { data, count: cols.output, stride: cols.stride * ci, lines: kh, pitch: line };
        filter.packed.apply(out, co, rows, add, then, false);
    };
    if out_line > 0 {
        match ws.parallel {
            true => out.data_mut().par_chunks_mut(out_line).enumerate().for_each(compute),
            false => out.data_mut().chunks_mut(out_line).enumerate().for_each(compute),
        }
    }
    if let Some(bordered) = bordered {
        ws.give(bordered);
    }
    Ok(out)
}

/// Depthwise 2-D convolution, one filter for each channel.
pub(super) fn depthwise(x: &Tensor, filter: &Filter, then: Activation, ws: &mut Workspace) -> Result<Tensor> {
    let [_, height, width, channels] = x.nhwc()?;
    let &[kh, kw, filters] = filter.weight.shape() else {
        return Err(Error::pack(format!("a depthwise filter has shape {:?}", filter.weight.shape())));
    };
    if filters != channels {
        return Err(Error::pack(format!("a depthwise convolution over {filters} channels was given {channels}")));
    }
    let rows = Axis::new(height, kh, filter.stride[0], filter.padding, true)?;
    let cols = Axis::new(width, kw, filter.stride[1], filter.padding, false)?;
    let shape = vec![x.shape()[0], rows.output, cols.output, channels];
    let mut out = ws.tensor(shape)?;
    let isa = Isa::detect();
    let line = cols.output * channels;
    let compute = |(number, out): (usize, &mut [f32])| {
        let (image, row) = (number / rows.output, number % rows.output);
        let mut taps = Vec::with_capacity(kh);
        for ky in 0..kh {
            let y = (row * rows.stride + ky).wrapping_sub(rows.before);
            if y < height {
                taps.push(Tap {
                    x: &x.data()[(image * height + y) * width * channels..][..width * channels],
                    weights: &filter.weight.data()[ky * kw * channels..][..kw * channels],
                });
            }
        }
        let bias = filter.bias.as_ref().map(Tensor::data);
        depthwise::line(isa, out, &taps, bias, &cols, channels, then);
    };
    if line > 0 {
        let out = out.data_mut();
        match ws.parallel && out.len() > 1 << 15 {
            true => out.par_chunks_mut(line).enumerate().for_each(compute),
            false => out.chunks_mut(line).enumerate().for_each(compute),
        }
    }
    Ok(out)
}

/// `[batch, in] · [in, out] + bias`.
pub(super) fn dense(x: &Tensor, filter: &Product, then: Activation, ws: &mut Workspace) -> Result<Tensor> {
    let &[batch, size] = x.shape() else {
        return Err(Error::pack(format!("a dense layer was given shape {:?}", x.shape())));
    };
    let (ci, co) = (filter.channels, filter.packed.columns());
    if size != ci {
        return Err(Error::pack(format!("a dense layer over {ci} inputs was given {size}")));
    }
    let mut out = ws.tensor(vec![batch, co])?;
    filter.packed.apply(out.data_mut(), co, Rows::new(x.data(), batch, ci), false, then, ws.parallel);
    Ok(out)
}

/// Maximum or average over windows.
pub(super) fn pool(
    x: &Tensor,
    maximum: bool,
    size: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    ws: &mut Workspace,
) -> Result<Tensor> {
    let [batch, height, width, channels] = x.nhwc()?;
    let rows = Axis::new(height, size[0], stride[0], padding, true)?;
    let cols = Axis::new(width, size[1], stride[1], padding, false)?;
    let shape = vec![batch, rows.output, cols.output, channels];
    let mut pooled = ws.tensor(shape)?;
    if channels == 0 {
        return Ok(pooled);
    }
    for (pixel, out) in pooled.data_mut().chunks_exact_mut(channels).enumerate() {
        let (image, row, col) =
            (pixel / (rows.output * cols.output), pixel / cols.output % rows.output, pixel % cols.output);
        out.fill(if maximum { f32::NEG_INFINITY } else { 0.0 });
        let mut seen = 0;
        for y in window(row, size[0], &rows) {
            for x_at in window(col, size[1], &cols) {
                let from = &x.data()[((image * height + y) * width + x_at) * channels..][..channels];
                seen += 1;
                for (out, &value) in out.iter_mut().zip(from) {
                    if maximum {
                        *out = out.max(value);
                    } else {
                        *out += value;
                    }
                }
            }
        }
        // Like TensorFlow, an average counts only the pixels inside the picture.
        if !maximum && seen > 0 {
            out.iter_mut().for_each(|out| *out /= seen as f32);
        }
    }
    Ok(pooled)
}

/// The input positions that window number `at` covers.
fn window(at: usize, size: usize, axis: &Axis) -> std::ops::Range<usize> {
    let start = at * axis.stride;
    start.saturating_sub(axis.before)..(start + size).saturating_sub(axis.before).min(axis.input)
}

/// Mean over height and width: `[batch, channels]`.
pub(super) fn mean(x: &Tensor, ws: &mut Workspace) -> Result<Tensor> {
    let [batch, height, width, channels] = x.nhwc()?;
    let mut means = ws.tensor(vec![batch, channels])?;
    means.data_mut().fill(0.0);
    let image = height * width * channels;
    if image > 0 {
        for (out, image) in means.data_mut().chunks_exact_mut(channels).zip(x.data().chunks_exact(image)) {
            for pixel in image.chunks_exact(channels) {
                out.iter_mut().zip(pixel).for_each(|(out, value)| *out += value);
            }
            out.iter_mut().for_each(|out| *out /= (height * width) as f32);
        }
    }
    Ok(means)
}

/// Elementwise sum of tensors of one shape, into the first, which nothing else needs.
pub(super) fn add(mut sum: Tensor, rest: &[&Tensor], then: Activation) -> Result<Tensor> {
    for (number, x) in (1..).zip(rest) {
        if x.shape() != sum.shape() {
            return Err(Error::pack(format!("an addition was given shapes {:?} and {:?}", sum.shape(), x.shape())));
        }
        let last = number == rest.len();
        // A piece at a time, so that it is still near when the activation comes.
        for (sum, x) in sum.data_mut().chunks_mut(PIECE).zip(x.data().chunks(PIECE)) {
            sum.iter_mut().zip(x).for_each(|(sum, value)| *sum += value);
            if last {
                then.apply(sum);
            }
        }
    }
    if rest.is_empty() {
        then.apply(sum.data_mut());
    }
    Ok(sum)
}

/// `x * scale + shift` for each channel.
pub(super) fn affine(x: &Tensor, scale: &[f32], shift: &[f32], ws: &mut Workspace) -> Result<Tensor> {
    let channels = x.shape().last().copied().unwrap_or(0);
    if channels == 0 || scale.len() != channels || shift.len() != channels {
        return Err(Error::pack(format!("a normalisation of {} channels was given {channels}", scale.len())));
    }
    let mut scaled = ws.tensor(x.shape().to_vec())?;
    for (out, x) in scaled.data_mut().chunks_exact_mut(channels).zip(x.data().chunks_exact(channels)) {
        for c in 0..channels {
            out[c] = x[c] * scale[c] + shift[c];
        }
    }
    Ok(scaled)
}

/// Zeros around height and width and after the channels: `[top, bottom, left, right, first, last]`.
pub(super) fn pad(x: &Tensor, pads: [usize; 6], ws: &mut Workspace) -> Result<Tensor> {
    let [batch, height, width, channels] = x.nhwc()?;
    if channels == 0 || width == 0 {
        return Err(Error::pack("padding was given an empty picture"));
    }
    let shape = vec![batch, height + pads[0] + pads[1], width + pads[2] + pads[3], channels + pads[4] + pads[5]];
    let mut padded = ws.tensor(shape)?;
    let (line, first, last) = (width * channels, pads[2], pads[3]);
    let size = channels + pads[4] + pads[5];
    let mut lines = x.data().chunks_exact(line.max(1));
    let wide = (first + width + last) * size;
    for (number, out) in padded.data_mut().chunks_exact_mut(wide.max(1)).enumerate() {
        let row = number % (pads[0] + height + pads[1]);
        let from = match (pads[0]..pads[0] + height).contains(&row) {
            true => lines.next(),
            false => None,
        };
        let Some(from) = from else {
            out.fill(0.0);
            continue;
        };
        let (left, out) = out.split_at_mut(first * size);
        let (out, right) = out.split_at_mut(width * size);
        left.fill(0.0);
        right.fill(0.0);
        if size == channels {
            out.copy_from_slice(from);
            continue;
        }
        for (out, from) in out.chunks_exact_mut(size).zip(from.chunks_exact(channels)) {
            out[..pads[4]].fill(0.0);
            out[pads[4]..pads[4] + channels].copy_from_slice(from);
            out[pads[4] + channels..].fill(0.0);
        }
    }
    Ok(padded)
}

/// Tensors of rank 3 joined along axis 1.
pub(super) fn concat_rows(xs: &[&Tensor], ws: &mut Workspace) -> Result<Tensor> {
    let mut rows = 0;
    let mut outer: Option<(usize, usize)> = None;
    for x in xs {
        let &[batch, count, size] = x.shape() else {
            return Err(Error::pack(format!("a concatenation was given shape {:?}", x.shape())));
        };
        if *outer.get_or_insert((batch, size)) != (batch, size) {
            return Err(Error::pack("a concatenation was given tensors that do not fit together"));
        }
        rows += count;
    }
    let (batch, size) = outer.ok_or_else(|| Error::pack("a concatenation has no inputs"))?;
    let shape = vec![batch, rows, size];
    let mut joined = ws.tensor(shape)?;
    let out = joined.data_mut();
    let mut at = 0;
    for image in 0..batch {
        for x in xs {
            let length = x.shape()[1] * size;
            out[at..at + length].copy_from_slice(&x.data()[image * length..(image + 1) * length]);
            at += length;
        }
    }
    Ok(joined)
}

/// Softmax over the last axis.
pub(super) fn softmax(mut x: Tensor) -> Tensor {
    let size = x.shape().last().copied().unwrap_or(0);
    if size > 0 {
        for row in x.data_mut().chunks_exact_mut(size) {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|value| *value = (*value - top).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= sum);
        }
    }
    x
}
