//! What pictures and sound become before an encoder takes them.
//!
//! The encoders were trained on inputs made by Pillow, torchvision and transformers; these functions give the same values:
//! [`resize()`] bit for bit, the rest to f32 rounding.

mod audio;
mod image;
mod resize;

pub use self::audio::zero_mean_unit_variance;
pub use self::image::{clip_normalised, clip_picture, unit_picture, unit_range};
pub use self::resize::{resize, Filter};

#[cfg(test)]
mod tests;
