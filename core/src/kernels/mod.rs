//! What the language model and the encoders compute with: products with weights that stay as they lie in the file, attention, norms, gates.
//!
//! Products with quantised weights run in integers ([`Precision::Fast`]), or unpack weights to f32 ([`Precision::Full`], and for weights that are
//! floats or of a rarer type): a weight row at a time for one row of activations, else many rows with many tokens side by side in vectors.
//!
//! Hot loops are compiled for several instruction sets and chosen at run time, see [`Isa`].

#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod attend_rows;
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod attention;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
mod blocks;
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod bytes;
#[allow(unsafe_code)]
mod crew;
#[allow(unsafe_code)]
mod dense;
mod isa;
// In the modules that may leave out the block every unsafe function is a run of instructions that its caller must have found: a block around each would say no more.
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
pub(crate) mod lanes;
mod linear;
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod many;
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod output;
#[allow(unsafe_code)]
mod product;
#[allow(unsafe_code, unsafe_op_in_unsafe_fn)]
mod quantised;
mod quantize;
#[allow(unsafe_code)]
mod rowwise;
#[allow(unsafe_code)]
mod sgemm;

pub use attend_rows::{attend_row, attend_rows, AttentionShape};
pub use attention::{attend, attend_all, Context};
pub use blocks::{chunks, half, WeightType};
pub use crew::{for_each, for_each_mut, for_each_row, with_crew, with_lasting_crew};
pub use dense::{add, add_low_rank, dot, rms_norm};
pub use isa::{Isa, MAX_ISA_VARIABLE};
pub use linear::{linear, Finish};
pub use product::{matmul, Weights};
pub use quantize::pack;
pub use rowwise::{gelu, layer_norm, silu_mul, softmax_rows};
pub use sgemm::{sgemm, View};

/// How activations enter products with quantised weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As f32: what comes out differs from an f32 model of the same file by the order of additions only.
    Full,
    /// Rounded to 16 bits, 32 to a scale: a product's relative error is about 2e-5, a hundredth of what llama.cpp's 8 bits cost, and it takes
    /// half the time or less.
    #[default]
    Fast,
    /// Rounded to 8 bits, 32 to a scale, where weights have 8 bits too (Q8_0) and the product is a [`linear`] layer's; elsewhere as `Fast`.
    /// With random weights at full size an encoder's output differs from f32's by 1.1 to 1.5 % of its length, of which the weights' rounding alone
    /// makes four fifths.
    Int8,
}

#[cfg(test)]
mod tests;
