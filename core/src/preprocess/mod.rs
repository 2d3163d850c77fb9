//! What pictures and sound become before an encoder takes them.
//!
//! The encoders were trained on inputs made by Pillow, torchvision and transformers; these functions give the same values:
//! [`resize()`] bit for bit, the rest to f32 rounding. What the kernels on a GPU need beside their pictures (`core/kernels/parameters.cuh`)
//! is here too: [`resize_windows`], and taps and coefficients of [`color`].

mod audio;
pub mod color;
mod image;
mod resize;

#[cfg(any(feature = "cuda", test))]
pub(crate) use self::audio::check_samples;
pub use self::audio::zero_mean_unit_variance;
pub use self::image::{clip_normalised, clip_picture, unit_picture, unit_range};
pub use self::resize::{resize, resize_windows, Filter, ResizeWindow, ResizeWindows};

#[cfg(test)]
mod color_tests;
#[cfg(test)]
mod tests;
