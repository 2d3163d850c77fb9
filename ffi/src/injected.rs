//! Panics for tests. They are built in with the feature `injected-panics` only, which no build that is shipped has.

use emotion_llama_core::event::Event;

use crate::stream::Tell;

/// Panics if the environment variable `EMOTION_LLAMA_PANIC_AT` is one of the names in `place`, a path such as a closure's type has.
#[cfg(feature = "injected-panics")]
pub(crate) fn panic_at(place: &str) {
    let Ok(wanted) = std::env::var("EMOTION_LLAMA_PANIC_AT") else { return };
    if place.split(|c: char| !c.is_alphanumeric() && c != '_').any(|name| name == wanted) {
        panic!("injected at {wanted}");
    }
}

/// Nothing.
#[cfg(not(feature = "injected-panics"))]
pub(crate) fn panic_at(_place: &str) {}

/// Hands events on; panics at a stage of that name.
pub(crate) fn at_stages<'a>(tell: &'a mut Tell<'a>) -> impl FnMut(Event<'_>) + Send + 'a {
    move |event| {
        if let Event::Stage(stage) = event {
            panic_at(stage);
        }
        tell(event);
    }
}
