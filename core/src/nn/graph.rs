//! A net as a checked list of operations.

use std::collections::HashMap;

use serde::Deserialize;

use super::kernels::{self, Filter, Product};
use super::parameters::{Activation, Padding, MAX_WINDOW};
use super::tensor::{Tensor, Workspace};
use crate::error::{Error, ErrorKind, Result};

/// The most operations a net may have.
const MAX_OPS: usize = 4096;

/// One operation as the file writes it.
#[derive(Debug, Deserialize)]
pub(super) struct OpText {
    op: String,
    x: Vec<String>,
    y: String,
    w: Option<String>,
    b: Option<String>,
    stride: Option<[usize; 2]>,
    pad: Option<Padding>,
    size: Option<[usize; 2]>,
    pads: Option<[usize; 6]>,
    shape: Option<Vec<i64>>,
    axis: Option<i64>,
    scale: Option<Vec<f32>>,
    shift: Option<Vec<f32>>,
    #[serde(default)]
    act: Activation,
}

/// One net as the file writes it.
#[derive(Debug, Deserialize)]
pub(super) struct NetText {
    input: Vec<Option<usize>>,
    outputs: Vec<String>,
    ops: Vec<OpText>,
    #[serde(default)]
    pub(super) labels: Vec<String>,
    #[serde(default)]
    pub(super) anchors: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Conv(Product),
    Depthwise(Filter),
    Dense(Product),
    MaxPool { size: [usize; 2], stride: [usize; 2], padding: Padding },
    AvgPool { size: [usize; 2], stride: [usize; 2], padding: Padding },
    Add,
    Act,
    Affine { scale: Vec<f32>, shift: Vec<f32> },
    Mean,
    Pad([usize; 6]),
    Reshape(Vec<i64>),
    ConcatRows,
    Softmax,
}

impl Kind {
    /// Products in the sum that is an element of the output.
    fn products(&self) -> usize {
        match self {
            Kind::Conv(filter) | Kind::Dense(filter) => filter.depth(),
            Kind::Depthwise(filter) => filter.weight.shape().iter().take(2).product(),
            _ => 0,
        }
    }
}

#[derive(Debug)]
struct Op {
    kind: Kind,
    inputs: Vec<usize>,
    output: usize,
    activation: Activation,
    /// Values that no later operation reads.
    done: Vec<usize>,
}

/// A net that is ready to run.
#[derive(Debug)]
pub struct Net {
    name: String,
    input: Vec<Option<usize>>,
    ops: Vec<Op>,
    outputs: Vec<usize>,
    values: usize,
    labels: Vec<String>,
}

impl Net {
    /// The words for the outputs of a classifier, in order; empty for other nets.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Height, width and channels of the input; `None` where any size will do.
    pub fn input_shape(&self) -> &[Option<usize>] {
        &self.input
    }

    /// Computes the outputs for `input` `[batch, height, width, channels]`.
    ///
    /// # Errors
    /// `pack_invalid` when the input or the net's own shapes do not fit together; `cancelled`.
    pub fn run(&self, input: Tensor, ws: &mut Workspace) -> Result<Vec<Tensor>> {
        self.run_checked(input, ws).map_err(|e| match e.kind {
            ErrorKind::Cancelled => e,
            _ => e.context(format!("net {}", self.name)),
        })
    }

    fn run_checked(&self, input: Tensor, ws: &mut Workspace) -> Result<Vec<Tensor>> {
        let fits = input.shape().len() == self.input.len() + 1
            && input.shape()[1..].iter().zip(&self.input).all(|(&have, want)| want.is_none_or(|want| want == have));
        if !fits {
            return Err(Error::pack(format!("the input is {:?}, expected {:?}", input.shape(), self.input)));
        }
        let mut values: Vec<Option<Tensor>> = vec![None; self.values];
        values[0] = Some(input);
        for op in &self.ops {
            ws.check()?;
            let mut out = op.compute(&mut values, ws)?;
            op.activation.apply(out.data_mut());
            ws.count(2 * (out.data().len() * op.kind.products()) as u64);
            for &done in &op.done {
                if let Some(tensor) = values[done].take() {
                    ws.give(tensor.into_data());
                }
            }
            values[op.output] = Some(out);
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for &output in &self.outputs {
            outputs.push(values[output].clone().ok_or_else(|| Error::pack("an output is never computed"))?);
        }
        values.into_iter().flatten().for_each(|tensor| ws.give(tensor.into_data()));
        Ok(outputs)
    }

    /// Checks what a file says about one net; `weights` gives its tensors.
    pub(super) fn build(name: &str, text: &NetText, weights: impl Fn(&str) -> Result<Tensor>) -> Result<Self> {
        if text.ops.len() > MAX_OPS || text.outputs.is_empty() || text.input.len() > 3 {
            return Err(Error::pack(format!("net {name} has {} operations", text.ops.len())));
        }
        let mut numbers: HashMap<&str, usize> = HashMap::from([("input", 0)]);
        let mut ops = Vec::with_capacity(text.ops.len());
        for (i, op) in text.ops.iter().enumerate() {
            let context = |e: Error| e.context(format!("net {name}, operation {i} ({})", op.op));
            let inputs: Vec<usize> =
                op.x.iter()
                    .map(|x| numbers.get(x.as_str()).copied())
                    .collect::<Option<_>>()
                    .ok_or_else(|| context(Error::pack("an input was not computed before")))?;
            let kind = op.kind(&weights).map_err(context)?;
            if inputs.is_empty() || (inputs.len() > 1 && !matches!(kind, Kind::Add | Kind::ConcatRows)) {
                return Err(context(Error::pack(format!("it cannot take {} inputs", inputs.len()))));
            }
            let output = numbers.len();
            if numbers.insert(&op.y, output).is_some() {
                return Err(context(Error::pack(format!("{} is written twice", op.y))));
            }
            let fused = matches!(kind, Kind::Conv(_) | Kind::Depthwise(_) | Kind::Dense(_));
            let activation = if fused { Activation::Identity } else { op.act };
            ops.push(Op { kind, inputs, output, activation, done: Vec::new() });
        }
        let outputs: Vec<usize> = text
            .outputs
            .iter()
            .map(|output| numbers.get(output.as_str()).copied())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::pack(format!("net {name}: an output is never computed")))?;
        let mut seen = vec![false; numbers.len()];
        outputs.iter().for_each(|&output| seen[output] = true);
        for op in ops.iter_mut().rev() {
            for &input in &op.inputs {
                if !std::mem::replace(&mut seen[input], true) {
                    op.done.push(input);
                }
            }
        }
        let values = numbers.len();
        Ok(Self { name: name.into(), input: text.input.clone(), ops, outputs, values, labels: text.labels.clone() })
    }
}

impl Op {
    fn compute(&self, values: &mut [Option<Tensor>], ws: &mut Workspace) -> Result<Tensor> {
        let missing = || Error::pack("an input is gone");
        // Operations that keep the elements work in place when nothing else reads them.
        if matches!(self.kind, Kind::Reshape(_) | Kind::Softmax | Kind::Act) {
            let input = self.inputs[0];
            let tensor = match self.done.contains(&input) {
                true => values[input].take(),
                false => values[input].clone(),
            };
            let tensor = tensor.ok_or_else(missing)?;
            return match &self.kind {
                Kind::Reshape(shape) => reshape(tensor, shape),
                Kind::Softmax => Ok(kernels::softmax(tensor)),
                _ => Ok(tensor),
            };
        }
        let inputs: Vec<&Tensor> =
            self.inputs.iter().map(|&i| values[i].as_ref()).collect::<Option<_>>().ok_or_else(missing)?;
        let x = inputs[0];
        match &self.kind {
            Kind::Conv(filter) => kernels::conv2d(x, filter, ws),
            Kind::Depthwise(filter) => kernels::depthwise(x, filter, ws),
            Kind::Dense(filter) => kernels::dense(x, filter, ws),
            Kind::MaxPool { size, stride, padding } => kernels::pool(x, true, *size, *stride, *padding, ws),
            Kind::AvgPool { size, stride, padding } => kernels::pool(x, false, *size, *stride, *padding, ws),
            Kind::Add => kernels::add(&inputs, ws),
            Kind::Affine { scale, shift } => kernels::affine(x, scale, shift, ws),
            Kind::Mean => kernels::mean(x, ws),
            Kind::Pad(pads) => kernels::pad(x, *pads, ws),
            Kind::ConcatRows => kernels::concat_rows(&inputs, ws),
            Kind::Reshape(_) | Kind::Softmax | Kind::Act => Err(missing()),
        }
    }
}

/// `shape` without the batch; one size may be -1.
fn reshape(tensor: Tensor, shape: &[i64]) -> Result<Tensor> {
    let batch = tensor.shape().first().copied().unwrap_or(0).max(1);
    let each = tensor.data().len() / batch;
    let known = shape.iter().filter(|&&s| s > 0).fold(1usize, |all, &s| all.saturating_mul(s as usize));
    let sizes = shape.iter().map(|&s| if s > 0 { s as usize } else { each / known.max(1) });
    let target = std::iter::once(batch).chain(sizes).collect();
    tensor.reshaped(target)
}

impl OpText {
    fn kind(&self, weights: &impl Fn(&str) -> Result<Tensor>) -> Result<Kind> {
        Ok(match self.op.as_str() {
            "conv2d" => Kind::Conv(self.filter(weights, 4)?.into()),
            "depthwise" => Kind::Depthwise(self.filter(weights, 3)?),
            "dense" => Kind::Dense(self.filter(weights, 2)?.into()),
            "max_pool" => Kind::MaxPool {
                size: self.window(self.size)?,
                stride: self.window(self.stride)?,
                padding: self.padding()?,
            },
            "avg_pool" => Kind::AvgPool {
                size: self.window(self.size)?,
                stride: self.window(self.stride)?,
                padding: self.padding()?,
            },
            "add" => Kind::Add,
            "act" => Kind::Act,
            "affine" => {
                let (Some(scale), Some(shift)) = (self.scale.clone(), self.shift.clone()) else {
                    return Err(Error::pack("scale or shift is missing"));
                };
                Kind::Affine { scale, shift }
            }
            "mean" => Kind::Mean,
            "pad" => {
                let pads = self.pads.ok_or_else(|| Error::pack("pads are missing"))?;
                if pads.iter().any(|&pad| pad > MAX_WINDOW) {
                    return Err(Error::pack(format!("pads {pads:?} are too large")));
                }
                Kind::Pad(pads)
            }
            "reshape" => {
                let shape = self.shape.clone().ok_or_else(|| Error::pack("the shape is missing"))?;
                let unknown = shape.iter().filter(|&&size| size == -1).count();
                if unknown > 1 || shape.len() > 4 || shape.iter().any(|&s| s != -1 && !(1..=1 << 24).contains(&s)) {
                    return Err(Error::pack(format!("shape {shape:?} cannot be used")));
                }
                Kind::Reshape(shape)
            }
            "concat" if self.axis == Some(1) => Kind::ConcatRows,
            "softmax" => Kind::Softmax,
            _ => return Err(Error::pack("the operation is not known to this version")),
        })
    }

    fn filter(&self, weights: &impl Fn(&str) -> Result<Tensor>, rank: usize) -> Result<Filter> {
        let weight = weights(self.w.as_deref().ok_or_else(|| Error::pack("the weight is missing"))?)?;
        let shape = weight.shape();
        if shape.len() != rank || shape.contains(&0) || (rank > 2 && shape[..2].iter().any(|&size| size > MAX_WINDOW)) {
            return Err(Error::pack(format!("a weight has shape {shape:?}")));
        }
        let bias = self.b.as_deref().map(weights).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.shape() != [shape[rank - 1]]) {
            return Err(Error::pack("a bias does not fit its weight"));
        }
        let (stride, padding) = match rank {
            2 => ([1, 1], Padding::Valid),
            _ => (self.window(self.stride)?, self.padding()?),
        };
        Ok(Filter { weight, bias, stride, padding, activation: self.act })
    }

    fn window(&self, sizes: Option<[usize; 2]>) -> Result<[usize; 2]> {
        sizes
            .filter(|sizes| sizes.iter().all(|size| (1..=MAX_WINDOW).contains(size)))
            .ok_or_else(|| Error::pack("a size or stride is missing or out of range"))
    }

    fn padding(&self) -> Result<Padding> {
        self.pad.ok_or_else(|| Error::pack("the padding is missing"))
    }
}
