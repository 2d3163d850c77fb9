//! GGUF files: metadata and named tensors in one file, mapped when read.
//!
//! The language model and every transformer encoder of a pack lie in such a file. [`Gguf`] reads one, [`Matrix`] is one weight
//! matrix in it, [`vector`] unpacks a small tensor to `f32`.

mod matrix;
mod reader;
mod writer;

pub use matrix::{vector, Matrix};
pub use reader::{Gguf, MappedFile, TensorInfo, Value};
pub use writer::{GgufHeader, PlannedTensor};
