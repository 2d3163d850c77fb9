//! The face nets' file: a list of operations in the metadata of a safetensors file. The nets are built and run.
#![no_main]

use std::path::Path;

use emotion_llama_core::nn::{NetFile, Tensor, Workspace};
use emotion_llama_fuzz::settle;
use libfuzzer_sys::fuzz_target;

/// Most values of an input on which a net is run.
const MOST_INPUTS: usize = 1 << 12;

fuzz_target!(|data: &[u8]| {
    let Some(file) = settle(NetFile::from_bytes(data.to_vec(), Path::new("face.safetensors"))) else { return };
    settle(file.anchors("a"));
    for name in ["a", "b"] {
        let Some(net) = settle(file.net(name)) else { continue };
        let shape: Vec<usize> = [1].into_iter().chain(net.input_shape().iter().map(|size| size.unwrap_or(5))).collect();
        let count = shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        if let Some(count) = count.filter(|&count| count <= MOST_INPUTS) {
            let values = (0..count).map(|i| i as f32 / 16.0 - 1.0).collect();
            let input = Tensor::new(shape, values).expect("a tensor of its own shape");
            let mut workspace = Workspace::new();
            for _ in 0..2 {
                settle(net.run(input.clone(), &mut workspace));
            }
        }
    }
});
