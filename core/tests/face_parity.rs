//! Every face net against its own runtime (TensorFlow.js, Keras, LiteRT) on the inputs that `tools/reference/face.py` stored.

use std::path::PathBuf;

use emotion_llama_core::nn::{NetFile, Tensor, Workspace};
use safetensors::SafeTensors;

/// Largest difference allowed, relative to the expected value. Values below a thousandth of the largest one in the same output are
/// held to that thousandth.
const RELATIVE_BUDGET: f32 = 1e-3;

fn nets() -> NetFile {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let pack = std::env::var_os("EMOTION_LLAMA_PACK").map(PathBuf::from);
    let pack = pack.unwrap_or_else(|| root.join("build/packs/emotion-llama-mini"));
    NetFile::open(&pack.join("face.safetensors")).expect("the pack is built first: make pack")
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/face").join(name);
    std::fs::read(path).expect("a committed fixture")
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).expect(name);
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The input as the net gets it: the same arithmetic as `prepared` in `tools/reference/face.py`.
fn input(file: &SafeTensors<'_>, net: &str, name: &str) -> Tensor {
    let stored = match net {
        "landmarks" => "face_api",
        "human" => "fer",
        "ssd_detector" => "blazeface",
        net => net,
    };
    let view = file.tensor(&format!("{stored}.{name}.input")).expect("an input");
    let (height, width, channels) = (view.shape()[0], view.shape()[1], view.shape()[2]);
    let bytes = view.data();
    let (shape, data): (Vec<usize>, Vec<f32>) = match net {
        "human" | "fer" | "blazeface" => {
            (vec![1, height, width, channels], bytes.iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect())
        }
        "facex" => (vec![1, height, width, 3], bytes.iter().flat_map(|&v| [f32::from(v) / 255.0; 3]).collect()),
        "ssd_detector" => {
            let at = |y: usize, x: usize, c: usize| f32::from(bytes[((y / 2) * width + x / 2) * 3 + c]);
            let pixels = (0..4 * height * width * 3).map(|i| at(i / (6 * width), i / 3 % (2 * width), i % 3));
            (vec![1, 2 * height, 2 * width, 3], pixels.collect())
        }
        _ => (vec![1, height, width, channels], bytes.iter().map(|&v| f32::from(v)).collect()),
    };
    Tensor::new(shape, data).expect("an input of this shape")
}

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let worst = got
        .iter()
        .zip(expected)
        .map(|(got, expected)| (got - expected).abs() / expected.abs().max(largest * 1e-3))
        .fold(0.0f32, f32::max);
    println!("{what}: {} values, largest relative difference {worst:.2e}", got.len());
    assert!(worst <= RELATIVE_BUDGET, "{what}: {worst:e} is beyond the budget");
}

#[test]
fn expression_and_landmark_nets_agree_with_their_own_runtimes() {
    let (nets, bytes) = (nets(), fixture("parity_faces.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a fixture");
    for name in ["face_api", "landmarks", "human", "fer", "facex"] {
        let net = nets.net(name).expect(name);
        for face in ["smile", "calm"] {
            let outputs = net.run(input(&file, name, face), &mut Workspace::new()).expect(name);
            assert_close(
                &format!("{name}.{face}"),
                outputs[0].data(),
                &floats(&file, &format!("{name}.{face}.output0")),
            );
        }
    }
}

#[test]
fn blazeface_agrees_with_tensorflow_js() {
    let (nets, bytes) = (nets(), fixture("parity_detectors.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a fixture");
    let net = nets.net("blazeface").expect("blazeface");
    let outputs = net.run(input(&file, "blazeface", "group"), &mut Workspace::parallel()).expect("blazeface");
    assert_eq!(outputs.len(), 4);
    for (i, output) in outputs.iter().enumerate() {
        assert_close(&format!("blazeface.{i}"), output.data(), &floats(&file, &format!("blazeface.group.output{i}")));
    }
}

#[test]
fn ssd_detector_agrees_with_tensorflow_js() {
    let (nets, bytes) = (nets(), fixture("parity_detectors.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a fixture");
    let net = nets.net("ssd_detector").expect("ssd_detector");
    let anchors = nets.anchors("ssd_detector").expect("anchors");
    let outputs = net.run(input(&file, "ssd_detector", "group"), &mut Workspace::parallel()).expect("ssd_detector");
    let rows = file.tensor("ssd_detector.group.rows").expect("rows");
    let rows: Vec<usize> =
        rows.data().chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let (mut boxes, mut scores) = (Vec::new(), Vec::new());
    for row in rows {
        let (code, anchor) = (&outputs[0].data()[row * 4..][..4], &anchors.data()[row * 4..][..4]);
        let (height, width) = (anchor[2] - anchor[0], anchor[3] - anchor[1]);
        let (y, x) =
            (anchor[0] + height / 2.0 + code[0] / 10.0 * height, anchor[1] + width / 2.0 + code[1] / 10.0 * width);
        let (dy, dx) = ((code[2] / 5.0).exp() * height / 2.0, (code[3] / 5.0).exp() * width / 2.0);
        boxes.extend([y - dy, x - dx, y + dy, x + dx]);
        scores.push(1.0 / (1.0 + (-outputs[1].data()[row * 3 + 1]).exp()));
    }
    assert_close("ssd_detector.boxes", &boxes, &floats(&file, "ssd_detector.group.output0"));
    assert_close("ssd_detector.scores", &scores, &floats(&file, "ssd_detector.group.output1"));
}
