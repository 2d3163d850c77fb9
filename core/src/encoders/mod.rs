//! encoders.

/// Whisper: voice features and speech recognition.
pub mod whisper;
