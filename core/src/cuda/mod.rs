//! NVIDIA's graphics processors: finding them, and the pictures that the encoders on them see.
//!
//! Nothing of CUDA is needed to load or to run this library: [`devices::list`] looks for it and says what is missing. The models
//! themselves are in [`crate::device`].

pub mod devices;
mod libraries;
mod modules;
mod parameters;
pub mod pictures;

#[cfg(test)]
mod tests;
