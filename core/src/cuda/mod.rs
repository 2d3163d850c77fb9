//! NVIDIA's graphics processors: finding them, and the pictures that the encoders on them see.
//!
//! Nothing of CUDA is needed to load or to run this library: [`devices::list`] looks for it and says what is missing. The models
//! themselves are in [`crate::device`].

#[cfg(feature = "cuda")]
pub mod audio;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "tested without the feature, and used with it"))]
pub mod batch;
#[cfg(feature = "cuda")]
pub mod devices;
#[cfg(all(test, feature = "cuda"))]
mod differences;
#[cfg(all(test, feature = "cuda"))]
mod faces;
#[cfg(feature = "cuda")]
mod libraries;
#[cfg(all(test, feature = "cuda"))]
mod log_mel;
#[cfg(feature = "cuda")]
pub mod measure;
#[cfg(feature = "cuda")]
mod modules;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "tested without the feature, and used with it"))]
pub mod parameters;
#[cfg(feature = "cuda")]
pub mod pictures;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "tested without the feature, and used with it"))]
pub mod surface;
#[cfg(feature = "cuda")]
mod upload;

#[cfg(test)]
mod batch_tests;
#[cfg(all(test, feature = "cuda"))]
mod tests;
