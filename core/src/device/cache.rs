//! Keys and values of a sequence on a device.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use super::Place;
use crate::error::{Error, Result};

/// Rows by which a sequence's memory grows.
const CHUNK: usize = 256;

/// A sequence's keys and values. How many of the rows count is the [`KvCache`](crate::llama::KvCache)'s to know.
///
/// A clone shares the memory until one of the two is written to.
#[derive(Clone)]
pub(crate) struct DeviceCache {
    place: Place,
    layers: Vec<Arc<LayerRows>>,
}

/// A layer's keys and values, each `[kv_heads, capacity, head_dim]`; none before the first are written.
struct LayerRows(Option<(Tensor, Tensor)>);

impl DeviceCache {
    /// Without memory, for a model of `layers` layers.
    pub(super) fn new(place: &Place, layers: usize) -> Self {
        Self { place: place.clone(), layers: (0..layers).map(|_| Arc::new(LayerRows(None))).collect() }
    }

    /// Where the rows lie.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The first `held` rows of `layer`, keys and values `[kv_heads, held, head_dim]`.
    pub(super) fn layer(&self, layer: usize, held: usize) -> Result<Option<(Tensor, Tensor)>> {
        let Some((keys, values)) = self.layers.get(layer).and_then(|rows| rows.0.as_ref()).filter(|_| held > 0) else {
            return Ok(None);
        };
        Ok(Some((keys.narrow(1, 0, held)?, values.narrow(1, 0, held)?)))
    }

    /// Writes `keys` and `values` `[kv_heads, n, head_dim]` after the first `held` rows of `layer`, and gives all of them.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        held: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let total = held + keys.dim(1)?;
        let before = self.layer(layer, held)?;
        let rows = self.layers.get_mut(layer).ok_or_else(|| Error::internal("no such layer"))?;
        match Arc::get_mut(rows) {
            Some(LayerRows(Some((k, v)))) if k.dim(1)? >= total => {
                k.slice_set(keys, 1, held)?;
                v.slice_set(values, 1, held)?;
            }
            _ => {
                let (k, v) = before.unzip();
                *rows = Arc::new(LayerRows(Some((grown(k, keys, total)?, grown(v, values, total)?))));
            }
        }
        self.layer(layer, total)?.ok_or_else(|| Error::internal("no such layer"))
    }
}

impl fmt::Debug for DeviceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCache").field("place", &self.place).finish_non_exhaustive()
    }
}

/// `before` and `more` one after the other, `total` rows, with room for some further ones.
fn grown(before: Option<Tensor>, more: &Tensor, total: usize) -> Result<Tensor> {
    let (heads, _, width) = more.dims3()?;
    let grown = Tensor::zeros((heads, total.next_multiple_of(CHUNK), width), more.dtype(), more.device())?;
    let held = before.as_ref().map_or(Ok(0), |before| before.dim(1))?;
    if let Some(before) = before {
        grown.slice_set(&before.contiguous()?, 1, 0)?;
    }
    grown.slice_set(more, 1, held)?;
    Ok(grown)
}
