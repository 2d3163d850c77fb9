//! Keys and values of the tokens that a sequence has had so far.

use super::config::LlamaConfig;
#[cfg(any(feature = "cuda", test))]
use crate::device::{DeviceCache, Place};
#[cfg(any(feature = "cuda", test))]
use crate::error::{Error, Result};

/// A sequence's keys and values, in f32: `2 * layers * kv_width` floats a token (46 KB for the built-in model). A model on a device keeps them
/// there, in its own type.
///
/// A clone is a copy of the memory: a prompt of 60 tokens takes 2.8 MB.
#[derive(Debug, Clone)]
pub struct KvCache {
    width: usize,
    len: usize,
    layers: Vec<LayerCache>,
    /// Holds the rows, if there are any, of a model on a device; `layers` is empty then.
    #[cfg(any(feature = "cuda", test))]
    device: Option<DeviceCache>,
}

#[derive(Debug, Clone, Default)]
struct LayerCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for models with `config`'s extents.
    pub fn new(config: &LlamaConfig) -> Self {
        Self::with(config.kv_width(), config.layers)
    }

    /// An empty cache for the same model.
    pub(super) fn empty(&self) -> Self {
        Self::with(self.width, self.layers.len())
    }

    fn with(width: usize, layers: usize) -> Self {
        Self {
            width,
            len: 0,
            layers: vec![LayerCache::default(); layers],
            #[cfg(any(feature = "cuda", test))]
            device: None,
        }
    }

    /// Tokens (and soft-token rows) held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything after the first `len` tokens; does nothing if there are no more than that.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.drop_pending();
    }

    /// Takes the memory for `rows` further tokens at once, so that adding them takes none. The pages are touched when they are written.
    pub(super) fn reserve(&mut self, rows: usize) {
        // A device's memory grows there, many rows at a time.
        #[cfg(any(feature = "cuda", test))]
        if self.device.is_some() {
            return;
        }
        let wanted = self.len.saturating_add(rows).saturating_mul(self.width);
        for layer in &mut self.layers {
            for rows in [&mut layer.keys, &mut layer.values] {
                // The text may end long before that: if there is too little memory for all of it, it grows as it is written.
                let _ = rows.try_reserve_exact(wanted.saturating_sub(rows.len()));
            }
        }
    }

    /// Tokens that there is memory for, and those held.
    pub(super) fn room(&self) -> usize {
        let room = self.layers.first().map_or(0, |layer| layer.keys.capacity() / self.width.max(1));
        room.max(self.len)
    }

    pub(super) fn fits(&self, config: &LlamaConfig) -> bool {
        self.width == config.kv_width() && self.layers.len() == config.layers
    }

    /// Keys and values of `layer`, each `[len, kv_width]`.
    pub(super) fn layer(&self, layer: usize) -> (&[f32], &[f32]) {
        let held = self.len * self.width;
        self.layers
            .get(layer)
            .map_or((&[], &[]), |l| (l.keys.get(..held).unwrap_or_default(), l.values.get(..held).unwrap_or_default()))
    }

    /// Adds rows to `layer` that count once [`KvCache::commit`] is called.
    pub(super) fn push_pending(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.keys.extend_from_slice(keys);
            layer.values.extend_from_slice(values);
        }
    }

    /// Counts `tokens` rows that were pushed to every layer.
    pub(crate) fn commit(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Forgets rows that were pushed and not committed.
    pub(super) fn drop_pending(&mut self) {
        let held = self.len * self.width;
        for layer in &mut self.layers {
            layer.keys.truncate(held);
            layer.values.truncate(held);
        }
        // Where the next rows go is open again.
        #[cfg(any(feature = "cuda", test))]
        if self.len == 0 {
            self.device = None;
        }
    }
}

impl KvCache {
    /// Whether what is held is on a device that was lost.
    pub(crate) fn is_lost(&self) -> bool {
        #[cfg(any(feature = "cuda", test))]
        return self.device.as_ref().is_some_and(|held| held.place().is_lost());
        #[cfg(not(any(feature = "cuda", test)))]
        false
    }
}

#[cfg(any(feature = "cuda", test))]
impl KvCache {
    /// The rows on a device.
    pub(crate) fn device(&self) -> Option<&DeviceCache> {
        self.device.as_ref()
    }

    /// The rows on a device, which `new` makes the place for.
    pub(crate) fn device_or_else(&mut self, new: impl FnOnce() -> DeviceCache) -> &mut DeviceCache {
        self.device.get_or_insert_with(new)
    }

    /// Whether a model at `place` (None for the CPU) can read what is held.
    ///
    /// # Errors
    /// `unreachable` if it was on a device that is lost; `invalid_argument` if another model wrote it.
    pub(super) fn check_place(&self, place: Option<&Place>) -> Result<()> {
        match (self.device.as_ref().filter(|_| self.len > 0), place) {
            (Some(_), None) => Err(Error::unreachable(
                "the keys and values so far are on a GPU that is not used any more; begin again",
            )),
            (Some(held), Some(place)) if held.place().same(place) => Ok(()),
            (None, place) if self.len == 0 || place.is_none() => Ok(()),
            _ => Err(Error::invalid_argument("the KV cache was filled by a model on another device; begin again")),
        }
    }
}
