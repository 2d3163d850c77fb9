//! The language model on a device.
//!
//! Computes what [`Llama`](crate::llama::Llama) computes, in the same passes and the same layout of rows: query and key rows lie pair by
//! pair, so positions rotate neighbouring values. Prompts and labels are read as exactly as the type of activations allows; only the steps
//! of writing multiply with weights as they are stored, which rounds activations to 8 bits. Embedding rows are unpacked on the host, where the file is mapped; a token's row is
//! small.

use candle_core::Tensor;
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope_i;

use super::attention::{attend, heads_first, rows_first};
use super::weights::Linear;
use super::{download, DeviceCache, Place};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::gguf::Matrix;
use crate::kernels::Precision;
use crate::llama::{Adapter, HostLayer, KvCache, LayerPart, LlamaConfig, LoraWeights};

/// Rows that one pass takes, as on the CPU.
const PASS_ROWS: usize = 512;

/// Called with a layer's number, the part, and its rows.
type Observer<'a> = &'a mut dyn FnMut(usize, LayerPart, &[f32]);

/// Attention of a layer: its number, queries `[batch, heads, n, head_dim]`, and their keys and values; gives `[batch * n, q_width]`.
type Attend<'a> = &'a mut dyn FnMut(usize, [&Tensor; 3]) -> Result<Tensor>;

/// A LLaMA whose weights lie on a device.
pub(crate) struct DeviceLlama {
    config: LlamaConfig,
    place: Place,
    precision: Precision,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Linear,
}

struct Layer {
    attention_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
    lora_q: Option<LowRank>,
    lora_v: Option<LowRank>,
}

/// `B (A x)`.
struct LowRank {
    /// `[rank, hidden]`.
    a: Tensor,
    /// `[out, rank]`, with the scale.
    b: Tensor,
}

/// Cosine and sine of each pair's angle at each row's position, both `[batch, n, head_dim / 2]`.
struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl DeviceLlama {
    /// Copies the weights of `layers`, `head` and `norm` to where `place` says.
    pub(crate) fn new(
        config: &LlamaConfig,
        layers: &[HostLayer],
        head: &Matrix,
        norm: &[f32],
        place: &Place,
    ) -> Result<Self> {
        let linear = |matrix: &Matrix| Linear::new(matrix.weights(), None, place);
        let vector = |values: &[f32]| place.upload(values, &[values.len()]);
        let layer = |layer: &HostLayer| -> Result<Layer> {
            Ok(Layer {
                attention_norm: vector(&layer.attention_norm)?,
                q: linear(&layer.q)?,
                k: linear(&layer.k)?,
                v: linear(&layer.v)?,
                o: linear(&layer.o)?,
                mlp_norm: vector(&layer.mlp_norm)?,
                gate: linear(&layer.gate)?,
                up: linear(&layer.up)?,
                down: linear(&layer.down)?,
                lora_q: None,
                lora_v: None,
            })
        };
        Ok(Self {
            config: config.clone(),
            place: place.clone(),
            precision: Precision::default(),
            layers: layers.iter().map(layer).collect::<Result<_>>()?,
            norm: vector(norm)?,
            head: linear(head)?,
        })
    }

    /// Sets how the steps of writing multiply with quantised weights.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Sets or removes the adapter, which fits the model.
    pub(crate) fn set_lora(&mut self, lora: Option<&LoraWeights>) -> Result<()> {
        let hidden = self.config.hidden;
        let low_rank = |adapter: Option<&Adapter>| -> Result<Option<LowRank>> {
            let Some(Adapter { a, b, rank }) = adapter else { return Ok(None) };
            let a = self.place.upload(a, &[*rank, hidden])?;
            Ok(Some(LowRank { a, b: self.place.upload(b, &[b.len() / rank, *rank])? }))
        };
        let layers = (0..self.layers.len()).map(|index| {
            let adapters = lora.and_then(|lora| lora.layer(index));
            Ok([
                low_rank(adapters.and_then(|layer| layer.q.as_ref()))?,
                low_rank(adapters.and_then(|layer| layer.v.as_ref()))?,
            ])
        });
        let adapters = layers.collect::<Result<Vec<_>>>()?;
        for (layer, [q, v]) in self.layers.iter_mut().zip(adapters) {
            (layer.lora_q, layer.lora_v) = (q, v);
        }
        Ok(())
    }

    /// As [`Llama::prefill_observed`](crate::llama::Llama::prefill_observed), for rows that were checked.
    pub(crate) fn prefill(
        &self,
        rows: &[f32],
        cache: &mut KvCache,
        cancel: &CancelToken,
        mut observe: Option<Observer<'_>>,
    ) -> Result<Vec<f32>> {
        let before = cache.len();
        let precision = if rows.len() > self.config.hidden { Precision::Full } else { self.precision };
        let mut read = || -> Result<Vec<f32>> {
            let mut last = None;
            for pass in rows.chunks(PASS_ROWS * self.config.hidden) {
                last = Some(self.append(pass, precision, cache, cancel, &mut observe)?);
            }
            let last = last.ok_or_else(|| Error::internal("there are no rows to read"))?;
            let logits = self.head(&last, precision)?;
            cancel.check()?;
            Ok(logits)
        };
        let logits = read();
        if logits.is_err() {
            cache.truncate(before);
        }
        logits
    }

    /// One pass after what `cache` holds; the last row's output `[1, hidden]`, before the final norm.
    fn append(
        &self,
        rows: &[f32],
        precision: Precision,
        cache: &mut KvCache,
        cancel: &CancelToken,
        observe: &mut Option<Observer<'_>>,
    ) -> Result<Tensor> {
        let (n, held) = (rows.len() / self.config.hidden, cache.len());
        let turns = self.turns(held..held + n, 1, n)?;
        let mask = if n > 1 { Some(self.mask(held, &[n])?) } else { None };
        let memory = cache.device_or_else(|| DeviceCache::new(&self.place, self.layers.len()));
        let x = self.run(self.rows(rows)?, &turns, precision, cancel, observe, &mut |layer, [q, k, v]| {
            let (k, v) = memory.extend(layer, held, &k.squeeze(0)?, &v.squeeze(0)?)?;
            attend(&q.squeeze(0)?, &k, &v, mask.as_ref())
        })?;
        cancel.check()?;
        cache.commit(n);
        Ok(x.narrow(0, n - 1, 1)?)
    }

    /// One step of each sequence: the rows `x` `[caches.len(), hidden]`; logits `[caches.len(), vocab]`.
    pub(crate) fn decode_each(&self, x: &[f32], caches: &mut [KvCache], cancel: &CancelToken) -> Result<Vec<f32>> {
        let turns = self.turns(caches.iter().map(|cache| cache.len()), caches.len(), 1)?;
        let precision = self.precision;
        let x = self.run(self.rows(x)?, &turns, precision, cancel, &mut None, &mut |layer, [q, k, v]| {
            let mut attended = Vec::with_capacity(caches.len());
            for (i, cache) in caches.iter_mut().enumerate() {
                let [q, k, v] = [q.get(i)?, k.get(i)?, v.get(i)?];
                let held = cache.len();
                let memory = cache.device_or_else(|| DeviceCache::new(&self.place, self.layers.len()));
                let (k, v) = memory.extend(layer, held, &k, &v)?;
                attended.push(attend(&q, &k, &v, None)?);
            }
            Ok(Tensor::cat(&attended, 0)?)
        })?;
        let logits = self.head(&x, precision)?;
        cancel.check()?;
        caches.iter_mut().for_each(|cache| cache.commit(1));
        Ok(logits)
    }

    /// Runs sequences that each continue what `cache` holds, side by side: `x` `[sum of lengths, hidden]` to the layers' outputs.
    pub(crate) fn continue_side_by_side(
        &self,
        x: &[f32],
        cache: &KvCache,
        lengths: &[usize],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let held = cache.len();
        let n = lengths.iter().sum();
        let turns = self.turns(lengths.iter().flat_map(|&length| held..held + length), 1, n)?;
        let mask = self.mask(held, lengths)?;
        let precision = Precision::Full;
        let x = self.run(self.rows(x)?, &turns, precision, cancel, &mut None, &mut |layer, [q, k, v]| {
            let (k, v) = (k.squeeze(0)?, v.squeeze(0)?);
            let (k, v) = match cache.device().map(|memory| memory.layer(layer, held)).transpose()?.flatten() {
                Some((keys, values)) => (Tensor::cat(&[&keys, &k], 1)?, Tensor::cat(&[&values, &v], 1)?),
                None => (k, v),
            };
            attend(&q.squeeze(0)?, &k, &v, Some(&mask))
        })?;
        cancel.check()?;
        download(&x)
    }

    /// Logits `[n, vocab]` of layer outputs `x` `[n, hidden]`.
    pub(crate) fn logits(&self, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let logits = self.head(&self.rows(x)?, Precision::Full)?;
        cancel.check()?;
        Ok(logits)
    }

    fn head(&self, x: &Tensor, precision: Precision) -> Result<Vec<f32>> {
        let normed = rms_norm(&x.contiguous()?, &self.norm, self.config.norm_eps)?;
        download(&self.head.forward(&normed, precision)?)
    }

    fn rows(&self, x: &[f32]) -> Result<Tensor> {
        let hidden = self.config.hidden;
        self.place.upload(x, &[x.len() / hidden, hidden])
    }

    /// All layers over `x` `[batch * n, hidden]`, whose rows `turns` knows the positions of.
    fn run(
        &self,
        mut x: Tensor,
        turns: &Turns,
        precision: Precision,
        cancel: &CancelToken,
        observe: &mut Option<Observer<'_>>,
        attend: Attend<'_>,
    ) -> Result<Tensor> {
        let config = &self.config;
        let batch = turns.cos.dim(0)?;
        for (index, layer) in self.layers.iter().enumerate() {
            cancel.check()?;
            let normed = rms_norm(&x, &layer.attention_norm, config.norm_eps)?;
            let q = adapted(layer.q.forward(&normed, precision)?, layer.lora_q.as_ref(), &normed)?;
            let k = layer.k.forward(&normed, precision)?;
            let v = adapted(layer.v.forward(&normed, precision)?, layer.lora_v.as_ref(), &normed)?;
            let q = turns.turn(&heads_first(&q, batch, config.heads)?)?;
            let k = turns.turn(&heads_first(&k, batch, config.kv_heads)?)?;
            let v = heads_first(&v, batch, config.kv_heads)?;
            show(observe, index, LayerPart::Queries, || rows_first(&q.squeeze(0)?))?;
            show(observe, index, LayerPart::Keys, || rows_first(&k.squeeze(0)?))?;
            let attended = layer.o.forward(&attend(index, [&q, &k, &v])?, precision)?;
            show(observe, index, LayerPart::Attention, || Ok(attended.clone()))?;
            x = (x + attended)?;

            let normed = rms_norm(&x, &layer.mlp_norm, config.norm_eps)?;
            let gate = layer.gate.forward(&normed, precision)?.silu()?;
            let wide = (gate * layer.up.forward(&normed, precision)?)?;
            x = (x + layer.down.forward(&wide, precision)?)?;
            show(observe, index, LayerPart::Output, || Ok(x.clone()))?;
        }
        Ok(x)
    }

    /// The rotation of `batch` times `n` rows at `positions`.
    fn turns(&self, positions: impl Iterator<Item = usize>, batch: usize, n: usize) -> Result<Turns> {
        let half = self.config.head_dim / 2;
        let mut turns = vec![(0f32, 0f32); batch * n * half];
        for (turns, position) in turns.chunks_exact_mut(half.max(1)).zip(positions) {
            self.config.rotary(position, turns);
        }
        let (sin, cos): (Vec<f32>, Vec<f32>) = turns.into_iter().unzip();
        let shape = [batch, n, half];
        Ok(Turns { cos: self.place.upload(&cos, &shape)?, sin: self.place.upload(&sin, &shape)? })
    }

    /// What rows of sequences of `lengths`, which all continue the same `held` rows, do not see: `[n, held + n]`, 0 or -∞.
    fn mask(&self, held: usize, lengths: &[usize]) -> Result<Tensor> {
        let n: usize = lengths.iter().sum();
        let mut mask = vec![f32::NEG_INFINITY; n * (held + n)];
        let starts = lengths.iter().scan(0, |end, &length| {
            let start = *end;
            *end += length;
            Some(std::iter::repeat_n(start, length))
        });
        for (row, (start, mask)) in starts.flatten().zip(mask.chunks_exact_mut(held + n)).enumerate() {
            let (before, own) = mask.split_at_mut(held);
            before.fill(0.0);
            own.iter_mut().take(row + 1).skip(start).for_each(|value| *value = 0.0);
        }
        self.place.upload(&mask, &[n, held + n])
    }
}

impl Turns {
    /// Rotary position embedding of `x` `[batch, heads, n, head_dim]`.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        Ok(rope_i(x, &self.cos, &self.sin)?)
    }
}

/// Shows `rows` of a layer to `observe`, if anybody looks: fetching them waits for the device.
fn show(
    observe: &mut Option<Observer<'_>>,
    layer: usize,
    part: LayerPart,
    rows: impl FnOnce() -> Result<Tensor>,
) -> Result<()> {
    if let Some(observe) = observe {
        observe(layer, part, &download(&rows()?)?);
    }
    Ok(())
}

/// `y + B (A x)`.
fn adapted(y: Tensor, adapter: Option<&LowRank>, x: &Tensor) -> Result<Tensor> {
    let Some(LowRank { a, b }) = adapter else { return Ok(y) };
    Ok((y + x.matmul(&a.t()?)?.matmul(&b.t()?)?)?)
}
