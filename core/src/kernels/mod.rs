//! Matrix products of f32 activations with weights that stay quantised.
//!
//! One row of activations (decode): each weight row is read once, its blocks unpacked in registers. Several rows
//! (prefill, scoring): panels of weight rows are unpacked to f32 and multiplied by the `gemm` crate. Activations stay
//! f32 throughout, so the only error against an f32 model of the same file is the order of additions.
//!
//! Hot loops are compiled twice and chosen at run time: AVX2 with FMA and F16C, and portable code.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
mod blocks;
#[allow(unsafe_code)]
mod dense;
#[allow(unsafe_code)]
mod product;
mod quantize;
#[allow(unsafe_code)]
mod rowwise;
#[allow(unsafe_code)]
mod sgemm;

pub use blocks::{chunks, half, WeightType};
pub use dense::{add, attend_row, dot, rms_norm, silu_mul, AttentionShape};
pub use product::{matmul, Weights};
pub use quantize::pack;
pub use rowwise::{gelu, layer_norm, softmax_rows};
pub use sgemm::{sgemm, View};

/// Which build of the hot loops runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, any CPU.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Isa {
    /// The best that this CPU has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            return Isa::Avx2;
        }
        Isa::Portable
    }
}

#[cfg(test)]
mod tests;
