//! Low-rank adapters on the query and value projections (Hu et al. 2021), added at run time: `y = W x + s B (A x)`.

use safetensors::{Dtype, SafeTensors};

use super::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::kernels::{chunks, half};

/// Adapters for some or all layers of a model.
#[derive(Debug, Clone)]
pub struct LoraWeights {
    layers: Vec<LayerLora>,
}

/// One layer's adapters.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerLora {
    pub q: Option<Adapter>,
    pub v: Option<Adapter>,
}

/// One low-rank product in f32; the scale is already in `b`.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// `[rank, hidden]`.
    pub a: Vec<f32>,
    /// `[out, rank]`.
    pub b: Vec<f32>,
    pub rank: usize,
}

impl LoraWeights {
    /// Takes the tensors `lora.<layer>.{q,v}.{a,b}` (`a` `[rank, hidden]`, `b` `[out, rank]`; f32, f16 or bf16) out of
    /// `tensors`; others are left alone. Rows of `q.b` are in the order of the Hugging Face model. `scale` is alpha / rank.
    ///
    /// # Errors
    /// `pack_invalid` naming the tensor, for a wrong shape or type, an `a` without its `b`, a layer that the model does
    /// not have, or no adapter at all; `invalid_argument` if `scale` is not finite.
    pub fn from_safetensors(tensors: &SafeTensors<'_>, config: &LlamaConfig, scale: f32) -> Result<Self> {
        if !scale.is_finite() {
            return Err(Error::invalid_argument(format!("the adapter's scale is {scale}; it must be a finite number")));
        }
        let mut layers = vec![LayerLora::default(); config.layers];
        let mut names: Vec<&str> = tensors.names().into_iter().filter(|n| n.starts_with("lora.")).collect();
        names.sort_unstable();
        if names.is_empty() {
            return Err(Error::pack("the adapter has no lora.<layer>.{q,v}.{a,b} tensors"));
        }
        for name in names {
            let mut parts = name.split('.').skip(1);
            let layer = parts.next().and_then(|n| n.parse::<usize>().ok()).and_then(|n| layers.get_mut(n));
            let (Some(layer), Some(kind), Some(side), None) = (layer, parts.next(), parts.next(), parts.next()) else {
                return Err(Error::pack(format!("tensor {name:?} does not name a layer of the model")));
            };
            let (slot, out) = match kind {
                "q" => (&mut layer.q, config.q_width()),
                "v" => (&mut layer.v, config.kv_width()),
                _ => return Err(Error::pack(format!("tensor {name:?}: only q and v take adapters"))),
            };
            match side {
                "a" => {
                    let stem = name.strip_suffix(".a").unwrap_or(name);
                    let mut adapter = adapter(tensors, stem, config.hidden, out, scale)?;
                    if kind == "q" {
                        adapter.b = interleave_heads(&adapter.b, adapter.rank, config.head_dim);
                    }
                    *slot = Some(adapter);
                }
                "b" => {
                    let partner = name.strip_suffix(".b").map(|stem| format!("{stem}.a")).unwrap_or_default();
                    if tensors.tensor(&partner).is_err() {
                        return Err(Error::pack(format!("tensor {name:?} has no {partner:?} with it")));
                    }
                }
                _ => return Err(Error::pack(format!("tensor {name:?} is neither an a nor a b"))),
            }
        }
        Ok(Self { layers })
    }

    pub(crate) fn layer(&self, layer: usize) -> Option<&LayerLora> {
        self.layers.get(layer)
    }

    pub(super) fn fits(&self, config: &LlamaConfig) -> bool {
        self.layers.len() == config.layers
            && self.layers.iter().all(|l| {
                let fits = |a: &Option<Adapter>, out: usize| {
                    a.as_ref().is_none_or(|a| a.a.len() == a.rank * config.hidden && a.b.len() == a.rank * out)
                };
                fits(&l.q, config.q_width()) && fits(&l.v, config.kv_width())
            })
    }
}

fn adapter(tensors: &SafeTensors<'_>, stem: &str, hidden: usize, out: usize, scale: f32) -> Result<Adapter> {
    let (shape, a) = read(tensors, &format!("{stem}.a"))?;
    let rank = match shape[..] {
        [rank, columns] if rank > 0 && columns == hidden => rank,
        _ => return Err(Error::pack(format!("tensor \"{stem}.a\" is {shape:?}, expected [rank, {hidden}]"))),
    };
    let (shape, mut b) = read(tensors, &format!("{stem}.b"))?;
    if shape != [out, rank] {
        return Err(Error::pack(format!("tensor \"{stem}.b\" is {shape:?}, expected [{out}, {rank}]")));
    }
    b.iter_mut().for_each(|b| *b *= scale);
    Ok(Adapter { a, b, rank })
}

fn read(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let tensor = tensors.tensor(name).map_err(|e| Error::pack(format!("tensor {name:?}: {e}")))?;
    let bytes = tensor.data();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => chunks::<4, _>(bytes).map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::F16 => chunks::<2, _>(bytes).map(|&b| half(b)).collect(),
        Dtype::BF16 => chunks::<2, _>(bytes).map(|&[l, h]| f32::from_le_bytes([0, 0, l, h])).collect(),
        other => return Err(Error::pack(format!("tensor {name:?} is {other:?}, expected f32, f16 or bf16"))),
    };
    if !values.iter().all(|v| v.is_finite()) {
        return Err(Error::pack(format!("tensor {name:?} holds values that are not finite")));
    }
    Ok((tensor.shape().to_vec(), values))
}

/// Puts the rows of each head from rotate-half order (all first parts of the pairs, then all second parts) to the
/// interleaved order (pair after pair) that LLaMA GGUF files keep query and key rows in.
pub(crate) fn interleave_heads(b: &[f32], rank: usize, head_dim: usize) -> Vec<f32> {
    let half = head_dim / 2;
    let mut out = Vec::with_capacity(b.len());
    for head in b.chunks_exact(head_dim * rank) {
        let (first, second) = head.split_at(half * rank);
        for (x, y) in first.chunks_exact(rank).zip(second.chunks_exact(rank)) {
            out.extend_from_slice(x);
            out.extend_from_slice(y);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_interleaved_pair_by_pair() {
        // Two heads of four rows, rank 1.
        let b = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(interleave_heads(&b, 1, 4), [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0]);
    }
}
