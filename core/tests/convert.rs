//! Conversion of the published checkpoints: wrong files are named for what they are, interrupted work goes on, and the packs answer.
//!
//! Everything is built from the tiny checkpoints of the reference, which have the published layout.

mod checkpoint_common;
mod common;
mod convert_cases;
mod media_files;
mod parity_stages;
mod reference;
