//! Where the stages' models compute.

use std::cell::RefCell;

use emotion_llama_core::device::Place;

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Has the models that this thread opens from now on compute at `place`.
pub fn compute_at(place: &Place) {
    PLACE.set(Some(place.clone()));
}

/// Where they compute, unless that is the processor's own code.
pub fn place() -> Option<Place> {
    PLACE.with_borrow(Clone::clone)
}
