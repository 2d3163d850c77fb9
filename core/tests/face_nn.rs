//! The net engine: operations against plain loops on random shapes, and files that do not hold together.

use std::collections::HashMap;
use std::path::Path;

use emotion_llama_core::nn::{Net, NetFile, Tensor, Workspace};
use emotion_llama_core::{CancelToken, ErrorKind, Result};
use proptest::prelude::*;
use safetensors::tensor::{serialize, TensorView};
use safetensors::Dtype;
use serde_json::{json, Value};

/// Largest difference between the engine and the plain loop, for sums of at most a few hundred products below 1.
const TOLERANCE: f32 = 1e-4;

/// A file with `tensors` and the net `n` made of `ops`.
fn file(tensors: &[(&str, Vec<usize>, Vec<f32>)], ops: Value, input: Value, outputs: Value) -> Result<NetFile> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape, data)| {
            (name.to_string(), shape.clone(), data.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).expect("a tensor")));
    let nets = json!({"version": 1, "nets": {"n": {"input": input, "outputs": outputs, "ops": ops}}});
    let metadata = HashMap::from([("nets".to_string(), nets.to_string())]);
    NetFile::from_bytes(serialize(views, Some(metadata)).expect("a file"), Path::new("test.safetensors"))
}

fn one_op(tensors: &[(&str, Vec<usize>, Vec<f32>)], op: Value) -> Net {
    let file = file(tensors, json!([op]), json!([null, null, null]), json!(["y"])).expect("a file");
    file.net("n").expect("a net")
}

/// Values in -1..1 that depend on `seed` only.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[derive(Debug, Clone)]
struct Case {
    x: [usize; 4],
    kernel: [usize; 2],
    stride: [usize; 2],
    out: usize,
    pad: usize,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..3, 1usize..12, 1usize..24, 1usize..40);
    (sizes, (1usize..5, 1usize..5), (1usize..4, 1usize..4), 1usize..60, 0usize..3, any::<u64>()).prop_map(
        |((n, h, w, c), (kh, kw), (sh, sw), out, pad, seed)| Case {
            x: [n, h.max(kh), w.max(kw), c],
            kernel: [kh, kw],
            stride: [sh, sw],
            out,
            pad,
            seed,
        },
    )
}

impl Case {
    fn input(&self) -> Tensor {
        Tensor::new(self.x.to_vec(), values(self.x.iter().product(), self.seed)).expect("an input")
    }

    fn padding(&self) -> Value {
        [json!("same"), json!("valid"), json!([1, 0, 2, 1])][self.pad].clone()
    }

    /// Output size and padding before, along axis 0 (height) or 1.
    fn axis(&self, axis: usize) -> (usize, isize) {
        let (n, k, s) = (self.x[1 + axis], self.kernel[axis], self.stride[axis]);
        match self.pad {
            0 => {
                let out = n.div_ceil(s);
                (out, (((out - 1) * s + k).saturating_sub(n) / 2) as isize)
            }
            1 => ((n - k) / s + 1, 0),
            _ => ((n + [1, 3][axis] - k) / s + 1, [1, 2][axis]),
        }
    }

    /// The windows of each output pixel: `(image, [(tap, input offset of the pixel)])`.
    fn windows(&self) -> Vec<Vec<(usize, usize)>> {
        let ((rows, top), (cols, left)) = (self.axis(0), self.axis(1));
        let [n, h, w, c] = self.x;
        let mut all = Vec::new();
        for (image, row, col) in (0..n * rows * cols).map(|i| (i / (rows * cols), i / cols % rows, i % cols)) {
            let mut window = Vec::new();
            for tap in 0..self.kernel[0] * self.kernel[1] {
                let y = (row * self.stride[0] + tap / self.kernel[1]) as isize - top;
                let x = (col * self.stride[1] + tap % self.kernel[1]) as isize - left;
                if (0..h as isize).contains(&y) && (0..w as isize).contains(&x) {
                    window.push((tap, ((image * h + y as usize) * w + x as usize) * c));
                }
            }
            all.push(window);
        }
        all
    }
}

const ACTIVATIONS: [&str; 4] = ["identity", "relu", "relu6", "leaky"];

fn activated(name: &str, x: f32) -> f32 {
    match name {
        "relu" => x.max(0.0),
        "relu6" => x.clamp(0.0, 6.0),
        "leaky" if x < 0.0 => 0.1 * x,
        _ => x,
    }
}

fn assert_same(got: &Tensor, expected: &[f32]) {
    assert_eq!(got.data().len(), expected.len());
    for (got, expected) in got.data().iter().zip(expected) {
        assert!((got - expected).abs() <= TOLERANCE, "{got} is not {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conv2d_is_the_plain_sum(case in cases(), parallel in any::<bool>(), act in 0usize..4) {
        let (c, out) = (case.x[3], case.out);
        let taps = case.kernel[0] * case.kernel[1];
        let (w, b) = (values(taps * c * out, case.seed + 1), values(out, case.seed + 2));
        let shape = vec![case.kernel[0], case.kernel[1], c, out];
        let op = json!({"op": "conv2d", "x": ["input"], "y": "y", "w": "w", "b": "b",
            "stride": case.stride, "pad": case.padding(), "act": ACTIVATIONS[act]});
        let net = one_op(&[("w", shape, w.clone()), ("b", vec![out], b.clone())], op);
        let mut ws = if parallel { Workspace::parallel() } else { Workspace::new() };
        let x = case.input();
        let got = net.run(x.clone(), &mut ws).expect("a result");
        prop_assert_eq!(ws.operations(), (2 * got[0].data().len() * taps * c) as u64);
        let expected: Vec<f32> = case.windows().iter().flat_map(|window| (0..out).map(|o| {
            let sum: f32 = window.iter().map(|&(tap, at)| (0..c).map(|i| x.data()[at + i] * w[(tap * c + i) * out + o]).sum::<f32>()).sum();
            activated(ACTIVATIONS[act], sum + b[o])
        }).collect::<Vec<_>>()).collect();
        assert_same(&got[0], &expected);
    }

    #[test]
    fn depthwise_is_the_plain_sum(case in cases(), parallel in any::<bool>(), act in 0usize..4) {
        let c = case.x[3];
        let taps = case.kernel[0] * case.kernel[1];
        let w = values(taps * c, case.seed + 1);
        let op = json!({"op": "depthwise", "x": ["input"], "y": "y", "w": "w", "stride": case.stride, "pad": case.padding(),
            "act": ACTIVATIONS[act]});
        let net = one_op(&[("w", vec![case.kernel[0], case.kernel[1], c], w.clone())], op);
        let mut ws = if parallel { Workspace::parallel() } else { Workspace::new() };
        let x = case.input();
        let got = net.run(x.clone(), &mut ws).expect("a result");
        prop_assert_eq!(ws.operations(), (2 * got[0].data().len() * taps) as u64);
        let expected: Vec<f32> = case.windows().iter().flat_map(|window| (0..c).map(|i| {
            activated(ACTIVATIONS[act], window.iter().map(|&(tap, at)| x.data()[at + i] * w[tap * c + i]).sum())
        }).collect::<Vec<f32>>()).collect();
        assert_same(&got[0], &expected);
    }

    #[test]
    fn pools_look_at_their_windows(case in cases(), maximum in any::<bool>()) {
        let c = case.x[3];
        let name = if maximum { "max_pool" } else { "avg_pool" };
        let op = json!({"op": name, "x": ["input"], "y": "y", "size": case.kernel, "stride": case.stride,
            "pad": if case.pad == 0 { "same" } else { "valid" }});
        let case = Case { pad: case.pad.min(1), ..case };
        let net = one_op(&[], op);
        let x = case.input();
        let got = net.run(x.clone(), &mut Workspace::new()).expect("a result");
        let expected: Vec<f32> = case.windows().iter().flat_map(|window| (0..c).map(|i| {
            let values = window.iter().map(|&(_, at)| x.data()[at + i]);
            if maximum { values.fold(f32::NEG_INFINITY, f32::max) } else { values.sum::<f32>() / window.len() as f32 }
        }).collect::<Vec<f32>>()).collect();
        assert_same(&got[0], &expected);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_a_panic(at in 0usize..4000, byte in any::<u8>(), cut in any::<bool>()) {
        let w = values(27 * 4, 1);
        let ops = json!([
            {"op": "conv2d", "x": ["input"], "y": "a", "w": "w", "stride": [1, 1], "pad": "same"},
            {"op": "mean", "x": ["a"], "y": "b"},
            {"op": "softmax", "x": ["b"], "y": "y"}]);
        let nets = json!({"version": 1, "nets": {"n": {"input": [8, 8, 3], "outputs": ["y"], "ops": ops}}}).to_string();
        let data: Vec<u8> = w.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![3, 3, 3, 4], &data).expect("a tensor");
        let mut bytes = serialize([("w", view)], Some(HashMap::from([("nets".to_string(), nets)]))).expect("a file");
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(net) = NetFile::from_bytes(bytes, Path::new("x")).and_then(|file| file.net("n")) {
            // What can still be read must run, or say that it cannot.
            let x = Tensor::new(vec![1, 8, 8, 3], vec![0.5; 192]).expect("an input");
            let _ = net.run(x, &mut Workspace::new()).map_err(|e| assert_eq!(e.kind, ErrorKind::PackInvalid));
        }
    }
}

#[test]
fn a_net_that_does_not_hold_together_is_refused_with_its_place() {
    let w = ("w", vec![3, 3, 2, 4], values(72, 1));
    let conv = |fields: Value| {
        let mut op = json!({"op": "conv2d", "x": ["input"], "y": "y", "w": "w", "stride": [1, 1], "pad": "same"});
        fields.as_object().expect("fields").iter().for_each(|(key, value)| op[key] = value.clone());
        op
    };
    let bad = [
        ("an unknown operation", conv(json!({"op": "attention"}))),
        ("an input that nothing computes", conv(json!({"x": ["z"]}))),
        ("no input", conv(json!({"x": []}))),
        ("two inputs", conv(json!({"x": ["input", "input"]}))),
        ("a weight that is not there", conv(json!({"w": "v"}))),
        ("a bias of another size", conv(json!({"b": "w"}))),
        ("a stride of zero", conv(json!({"stride": [0, 1]}))),
        ("a huge stride", conv(json!({"stride": [1, 1 << 20]}))),
        ("a weight of another rank", conv(json!({"op": "depthwise"}))),
        ("an output that hides the input", conv(json!({"y": "input"}))),
        ("a shape with two unknowns", json!({"op": "reshape", "x": ["input"], "y": "y", "shape": [-1, -1]})),
        ("negative sizes", json!({"op": "reshape", "x": ["input"], "y": "y", "shape": [-5]})),
        ("no scale", json!({"op": "affine", "x": ["input"], "y": "y"})),
    ];
    for (what, op) in bad {
        let net = file(std::slice::from_ref(&w), json!([op]), json!([null, null, 2]), json!(["y"]))
            .and_then(|file| file.net("n"));
        let error = net.err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{what}");
        assert!(error.message.contains("test.safetensors") && error.message.contains("operation 0"), "{what}: {error}");
    }
    let missing = file(std::slice::from_ref(&w), json!([]), json!([null]), json!(["y"])).and_then(|file| file.net("n"));
    assert_eq!(missing.err().map(|e| e.kind), Some(ErrorKind::PackInvalid));
}

#[test]
fn shapes_that_do_not_fit_at_run_time_are_errors() {
    let w = values(72, 1);
    let op = json!({"op": "conv2d", "x": ["input"], "y": "y", "w": "w", "stride": [1, 1], "pad": "valid"});
    let net = one_op(&[("w", vec![3, 3, 2, 4], w)], op);
    for shape in [vec![1, 2, 2, 2], vec![1, 8, 8, 3], vec![8, 8, 2], vec![1, 0, 8, 2]] {
        let x = Tensor::new(shape.clone(), vec![0.0; shape.iter().product()]).expect("an input");
        let error = net.run(x, &mut Workspace::new()).expect_err("it does not fit");
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{shape:?}");
    }
    let reshape = one_op(&[], json!({"op": "reshape", "x": ["input"], "y": "y", "shape": [7]}));
    let x = Tensor::new(vec![1, 2, 2, 2], vec![0.0; 8]).expect("an input");
    assert_eq!(reshape.run(x, &mut Workspace::new()).expect_err("8 is not 7").kind, ErrorKind::PackInvalid);
    assert!(Tensor::new(vec![usize::MAX, 2], vec![]).is_err());
    let pads =
        one_op(&[], json!({"op": "pad", "x": ["input"], "y": "y", "pads": [1000, 1000, 1000, 1000, 1000, 1000]}));
    let x = Tensor::new(vec![1, 100, 100, 1], vec![0.0; 10_000]).expect("an input");
    assert_eq!(pads.run(x, &mut Workspace::new()).expect_err("too large").kind, ErrorKind::PackInvalid);
}

#[test]
fn results_do_not_depend_on_threads_or_on_earlier_runs() {
    let op = json!({"op": "conv2d", "x": ["input"], "y": "y", "w": "w", "stride": [2, 2], "pad": "same"});
    let net = one_op(&[("w", vec![3, 3, 8, 32], values(9 * 8 * 32, 3))], op);
    let x = Tensor::new(vec![2, 40, 40, 8], values(2 * 1600 * 8, 4)).expect("an input");
    let mut ws = Workspace::new();
    let first = net.run(x.clone(), &mut ws).expect("a result");
    assert_eq!(first, net.run(x.clone(), &mut ws).expect("a result"));
    assert_eq!(first, net.run(x, &mut Workspace::parallel()).expect("a result"));
}

/// A run took up to a tenth of a second, and its caller could stop only between runs.
#[test]
fn a_cancelled_token_stops_a_run() {
    let op = json!({"op": "conv2d", "x": ["input"], "y": "y", "w": "w", "stride": [1, 1], "pad": "valid"});
    let net = one_op(&[("w", vec![3, 3, 2, 4], values(72, 1))], op);
    let cancel = CancelToken::new();
    let mut ws = Workspace::new().cancelled_by(&cancel);
    let x = Tensor::new(vec![1, 8, 8, 2], vec![0.0; 128]).expect("an input");
    assert!(net.run(x.clone(), &mut ws).is_ok());
    cancel.cancel();
    assert_eq!(net.run(x, &mut ws).expect_err("it was stopped").kind, ErrorKind::Cancelled);
}
