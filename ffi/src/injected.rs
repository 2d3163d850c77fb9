//! Panics for tests. They are built in with the feature `injected-panics` only, which no build that is shipped has.

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
