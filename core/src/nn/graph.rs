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
            let out = op.compute(&mut values, ws)?;
            ws.count(2 * (out.data().len() * op.kind.products()) as u64);
            for &done in &op.done {
                if let Some(tensor) = values[done].take() {
                    ws.give(tensor);
                }
            }
            values[op.output] = Some(out);
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for &output in &self.outputs {
            outputs.push(values[output].clone().ok_or_else(|| Error::pack("an output is never computed"))?);
        }
        values.into_iter().flatten().for_each(|tensor| ws.give(tensor));
        Ok(outputs)
    }

    /// Checks what a file says about one net; `weights` gives its tensors.
    pub(super) fn build(name: &str, text: &NetText, weights: impl Fn(&str) -> Result<Tensor>) -> Result<Self> {
        if text.ops.len() > MAX_OPS || text.outputs.is_empty() || text.input.len() > 3 {
            return Err(Error::pack(format!("net {name} has {} operations", text.ops.len())));
        }
        let mut numbers: HashMap<&str, usize> = HashMap::from([("input", 0)]);
        let mut ops: Vec<Op> = Vec::with_capacity(text.ops.len());
        let mut readers: HashMap<&str, usize> = HashMap::new();
        for name in text.ops.iter().flat_map(|op| &op.x).chain(&text.outputs) {
            *readers.entry(name).or_default() += 1;
        }
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
            let mut new = Op { kind, inputs, output: numbers.len(), activation: op.act, done: Vec::new() };
            // What only this one reads need not be written.
            let alone = |before: &Op| {
                let read = op.x.iter().zip(&new.inputs).find(|(_, &input)| input == before.output);
                read.is_some_and(|(name, _)| readers.get(name.as_str()) == Some(&1))
            };
            if let Some(before) = ops.pop_if(|before| alone(before) && new.joins(before)) {
                new = new.after(before);
            }
            if numbers.insert(&op.y, new.output).is_some() {
                return Err(context(Error::pack(format!("{} is written twice", op.y))));
            }
            ops.push(new);
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
    /// Whether this operation and the one `before` it can be one.
    fn joins(&self, before: &Op) -> bool {
        match (&self.kind, &before.kind) {
            (Kind::Act, Kind::Softmax) => false,
            (Kind::Act, _) => before.activation == Activation::Identity,
            (Kind::Add, Kind::Conv(_)) => {
                before.activation == Activation::Identity && self.inputs.len() == 2 && before.inputs.len() == 1
            }
            (
                Kind::Conv(Product { padding: Padding::Valid, .. })
                | Kind::Depthwise(Filter { padding: Padding::Valid, .. }),
                Kind::Pad([.., 0, 0]),
            ) => before.activation == Activation::Identity,
            _ => false,
        }
    }

    /// This operation and the one `before` it, which it [`joins`](Self::joins), as one.
    fn after(mut self, mut before: Op) -> Op {
        match (&mut self.kind, &before.kind) {
            (
                Kind::Conv(Product { padding, .. }) | Kind::Depthwise(Filter { padding, .. }),
                &Kind::Pad([top, bottom, left, right, ..]),
            ) => {
                *padding = Padding::Explicit([top, bottom, left, right]);
                self.inputs = before.inputs;
                self
            }
            (Kind::Add, _) => {
                // The convolution adds what its second input is.
                before.inputs.extend(self.inputs.into_iter().filter(|&input| input != before.output));
                (before.activation, before.output) = (self.activation, self.output);
                before
            }
            _ => {
                (before.activation, before.output) = (self.activation, self.output);
                before
            }
        }
    }

    fn compute(&self, values: &mut [Option<Tensor>], ws: &mut Workspace) -> Result<Tensor> {
        let missing = || Error::pack("an input is gone");
        // In place when no one else reads it.
        let mut owned = |input: &usize, others: &[usize]| match self.done.contains(input) && !others.contains(input) {
            true => values[*input].take().ok_or_else(missing),
            false => values[*input].clone().ok_or_else(missing),
        };
        if let (Kind::Conv(filter), [input, beside]) = (&self.kind, &self.inputs[..]) {
            let beside = owned(beside, &[*input])?;
            let x = values[*input].as_ref().ok_or_else(missing)?;
            return kernels::conv2d(x, filter, Some(beside), self.activation, ws);
        }
        if matches!(self.kind, Kind::Reshape(_) | Kind::Softmax | Kind::Act | Kind::Add) {
            let (first, rest) = self.inputs.split_first().ok_or_else(missing)?;
            let mut tensor = owned(first, rest)?;
            if let Kind::Add = self.kind {
                let rest: Vec<&Tensor> =
                    rest.iter().map(|&i| values[i].as_ref()).collect::<Option<_>>().ok_or_else(missing)?;
                return kernels::add(tensor, &rest, self.activation);
            }
            tensor = match &self.kind {
                Kind::Reshape(shape) => reshape(tensor, shape)?,
                Kind::Softmax => kernels::softmax(tensor),
                _ => tensor,
            };
            self.activation.apply(tensor.data_mut());
            return Ok(tensor);
        }
        let inputs: Vec<&Tensor> =
            self.inputs.iter().map(|&i| values[i].as_ref()).collect::<Option<_>>().ok_or_else(missing)?;
        let x = inputs[0];
        let mut out = match &self.kind {
            Kind::Conv(filter) => return kernels::conv2d(x, filter, None, self.activation, ws),
            Kind::Depthwise(filter) => return kernels::depthwise(x, filter, self.activation, ws),
            Kind::Dense(filter) => return kernels::dense(x, filter, self.activation, ws),
            Kind::MaxPool { size, stride, padding } => kernels::pool(x, true, *size, *stride, *padding, ws)?,
            Kind::AvgPool { size, stride, padding } => kernels::pool(x, false, *size, *stride, *padding, ws)?,
            Kind::Affine { scale, shift } => kernels::affine(x, scale, shift, ws)?,
            Kind::Mean => kernels::mean(x, ws)?,
            Kind::Pad(pads) => kernels::pad(x, *pads, ws)?,
            Kind::ConcatRows => kernels::concat_rows(&inputs, ws)?,
            Kind::Reshape(_) | Kind::Softmax | Kind::Act | Kind::Add => return Err(missing()),
        };
        self.activation.apply(out.data_mut());
        Ok(out)
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
        Ok(Filter { weight, bias, stride, padding })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The net's outputs for a picture of 5 x 6 pixels.
    fn run(outputs: &[&str]) -> (usize, Vec<Tensor>) {
        let text = serde_json::json!({
            "input": [5, 6, 2],
            "outputs": outputs,
            "ops": [
                {"op": "conv2d", "x": ["input"], "y": "a", "w": "w", "stride": [1, 1], "pad": "same"},
                {"op": "act", "x": ["a"], "y": "b", "act": "relu"},
                {"op": "pad", "x": ["b"], "y": "c", "pads": [0, 1, 2, 1, 0, 0]},
                {"op": "depthwise", "x": ["c"], "y": "d", "w": "v", "stride": [2, 2], "pad": "valid", "act": "leaky"},
                {"op": "pad", "x": ["d"], "y": "e", "pads": [1, 0, 0, 0, 0, 0]},
                {"op": "conv2d", "x": ["e"], "y": "f", "w": "w", "stride": [1, 1], "pad": "valid"},
                {"op": "add", "x": ["f", "f"], "y": "g"},
                {"op": "act", "x": ["g"], "y": "h", "act": "relu"},
                {"op": "conv2d", "x": ["h"], "y": "i", "w": "u", "stride": [1, 1], "pad": "same"},
                {"op": "add", "x": ["i", "h"], "y": "j"},
                {"op": "act", "x": ["j"], "y": "k", "act": "relu"}
            ]
        });
        let values = |shape: &[usize]| {
            let data = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 31) as f32 / 15.0 - 1.0).collect();
            Tensor::new(shape.to_vec(), data)
        };
        let weight = |name: &str| match name {
            "w" => values(&[2, 2, 2, 2]),
            "u" => values(&[1, 1, 2, 2]),
            _ => values(&[3, 3, 2]),
        };
        let net = Net::build("test", &serde_json::from_value(text).unwrap(), weight).unwrap();
        let outputs = net.run(values(&[1, 5, 6, 2]).unwrap(), &mut Workspace::new()).unwrap();
        (net.ops.len(), outputs)
    }

    #[test]
    fn operations_that_become_one_give_what_they_give_one_by_one() {
        let (joined, outputs) = run(&["k"]);
        let (apart, steps) = run(&["k", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        assert_eq!((joined, apart), (5, 11));
        assert_eq!(outputs[0], steps[0]);
        assert!(outputs[0].data().iter().any(|&x| x > 0.0));
    }
}
