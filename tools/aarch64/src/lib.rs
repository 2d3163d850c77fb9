//! The kernels of `emotion-llama-core` with what they need of it.
#![allow(dead_code, unused_imports)]

#[path = "../../../core/src/cancel.rs"]
pub mod cancel;
#[path = "../../../core/src/error.rs"]
pub mod error;
#[path = "../../../core/src/kernels/mod.rs"]
pub mod kernels;
#[path = "../../../core/src/nn/mod.rs"]
pub mod nn;
