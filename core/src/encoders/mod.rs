//! Neural encoders: pictures, faces, motion and voice to vectors, speech to text.
//!
//! [`eva`], [`mae`], [`videomae`] and [`hubert`] are what Emotion-LLaMA looks and listens with; each reads one GGUF file.

/// Whisper: voice features and speech recognition.
pub mod whisper;

pub mod eva;
pub mod hubert;
pub mod mae;
pub(crate) mod metadata;
pub(crate) mod transformer;
pub mod videomae;
pub(crate) mod vit;

pub use vit::{Observer, VitConfig};

#[cfg(test)]
pub(crate) mod tests;
