//! A small engine for feed-forward convolutional nets on the CPU.
//!
//! All face nets, whatever toolkit they were trained in, are converted by `tools/pack_sources/face.py` into one format: a list
//! of operations as JSON in the metadata of a safetensors file, and the weights beside it. [`NetFile`] reads such a file,
//! [`Net`] is one checked net, and [`Net::run`] computes it in `f32` on NHWC tensors.
//!
//! Convolutions are matrix products with weights that are packed at loading, in vectors of what instruction set there is; depthwise
//! convolutions have their own loop with the same choice. Results do not depend on the number of threads.

mod depthwise;
mod file;
mod graph;
mod kernels;
pub(crate) mod packed;
mod parameters;
mod tensor;

pub use file::NetFile;
pub use graph::Net;
pub use parameters::{Activation, Padding};
pub(crate) use tensor::Workspaces;
pub use tensor::{Tensor, Workspace};
