//! A model on a device, for as long as the device is there.

use std::fmt;

use super::Place;
use crate::error::Result;

/// A model that lies on a device.
pub(crate) struct Placed<T> {
    model: T,
    place: Place,
}

impl<T> Placed<T> {
    pub(crate) fn new(model: T, place: &Place) -> Self {
        Self { model, place: place.clone() }
    }

    /// Where it lies.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the device can still be asked.
    pub(crate) fn is_there(&self) -> bool {
        !self.place.is_lost()
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
        self.place.run(|| task(&self.model))
    }
}

impl<T> fmt::Debug for Placed<T> {
    /// Without the weights: candle would fetch them from the device to write them down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("place", &self.place).finish_non_exhaustive()
    }
}
