//! What the voice tells besides words: measured prosody, and the voice head's posterior over seven emotions.
//!
//! The order of the work is fixed: [`measure`] finds the voice and describes it, [`condition`] cuts the silence around it and
//! sets its level, the Whisper encoder pools what [`condition`] gave, and [`VoiceHead::posterior`] reads both.

mod frames;
mod head;
mod pitch;
mod prosody;

pub use head::{VoiceHead, VOICE7};
pub use prosody::{condition, measure, Prosody, ProsodyNorms, ProsodyZ, Register, ZNorm, CONDITIONED_DB};
