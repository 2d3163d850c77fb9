//! A model on a device, for as long as the device is there.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{ErrorKind, Result};

/// A model that lies on a device.
pub(crate) struct Placed<T> {
    model: T,
    /// Set by the first failure that is not a lack of memory: a CUDA context that failed once fails from then on.
    lost: AtomicBool,
}

impl<T> Placed<T> {
    pub(crate) fn new(model: T) -> Self {
        Self { model, lost: AtomicBool::new(false) }
    }

    /// Whether the device can still be asked.
    pub(crate) fn is_there(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }

    /// The model.
    pub(crate) fn model(&self) -> &T {
        &self.model
    }

    /// The model, to be changed.
    pub(crate) fn model_mut(&mut self) -> &mut T {
        &mut self.model
    }

    /// What `task` makes of the model. Remembers when the device is lost.
    pub(crate) fn run<R>(&self, task: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        let result = task(&self.model);
        if let Err(error) = &result {
            if error.kind == ErrorKind::Unreachable && !self.lost.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "the GPU is given up");
            }
        }
        result
    }
}

impl<T> fmt::Debug for Placed<T> {
    /// Without the weights: candle would fetch them from the device to write them down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("lost", &self.lost).finish_non_exhaustive()
    }
}
