//! The mean of how long calls took, as Gradio tells it.

use std::sync::{Mutex, PoisonError};

/// A running mean.
#[derive(Debug, Default)]
pub struct Durations(Mutex<(u64, f64)>);

impl Durations {
    /// The mean of all calls so far; 0 before the first.
    pub fn mean(&self) -> f64 {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 == 0 {
            0.0
        } else {
            state.1 / state.0 as f64
        }
    }

    /// Takes another call's seconds and gives the mean of all.
    pub fn add(&self, seconds: f64) -> f64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        state.1 += seconds;
        state.1 / state.0 as f64
    }
}
