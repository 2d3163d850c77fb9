//! What computes: a bounded queue, jobs that end with their last reader, conversations, answers that are kept.

pub mod ask;
pub mod cache;
pub mod durations;
pub mod events;
pub mod job;
pub mod queue;
pub mod run;
pub mod sessions;
