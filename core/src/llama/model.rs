//! The transformer: embedding rows in, logits out.
//!
//! Follows Touvron et al. 2023 and `modeling_llama.py` of transformers 4.57. Query and key rows of a LLaMA GGUF file
//! are stored pair by pair, so positions rotate neighbouring values; the result is that of the rotate-half form.

use std::path::Path;

use super::cache::KvCache;
use super::config::LlamaConfig;
use super::lora::{Adapter, LoraWeights};
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::{DeviceLlama, Place, Placed};
use crate::error::{Error, Result};
use crate::gguf::{vector, Gguf, Matrix};
use crate::kernels::{self, sgemm, Context, Isa, Precision, View};

/// Rows that one pass takes; a longer prompt goes in several, which bounds the memory of activations.
const PASS_ROWS: usize = 512;

/// Rows up to which an adapter goes row by row: a matrix product would take memory in each decoding step.
pub(super) const FEW_ROWS: usize = 16;

/// A LLaMA model: weights mapped from a GGUF file and never changed, plus an optional adapter.
///
/// Shared between threads by reference; what a sequence needs of its own is in its [`KvCache`].
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    isa: Isa,
    precision: Precision,
    embedding: Matrix,
    head: Matrix,
    norm: Vec<f32>,
    layers: Vec<Layer>,
    lora: Option<LoraWeights>,
    #[cfg(any(feature = "cuda", test))]
    device: Option<Placed<DeviceLlama>>,
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) q: Matrix,
    pub(crate) k: Matrix,
    pub(crate) v: Matrix,
    pub(crate) o: Matrix,
    pub(crate) mlp_norm: Vec<f32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

/// What the sequences of a pass continue.
#[derive(Clone, Copy)]
pub(super) enum Before<'a> {
    /// All the same.
    Shared(&'a KvCache),
    /// Each its own; it has one row.
    Each(&'a [KvCache]),
}

/// The rows of one pass: sequences side by side. Its buffers serve one layer after the other.
#[derive(Default)]
pub(super) struct Pass {
    /// For each row the number of the first row of its sequence.
    starts: Vec<usize>,
    /// Sine and cosine of each pair's angle at each row's position, `[n, head_dim / 2]`.
    turns: Vec<(f32, f32)>,
    /// `[n, hidden]`.
    pub(super) normed: Vec<f32>,
    /// Queries and what attention makes of them, `[n, heads * head_dim]`.
    q: Vec<f32>,
    attended: Vec<f32>,
    /// Keys and values, `[n, kv_heads * head_dim]`.
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    /// `[n, intermediate]`.
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Attention's weights of rows that are decoded, `[n, keys]`.
    scores: Vec<f32>,
    /// What adapters make of the rows, `[n, rank]`.
    low: Vec<f32>,
}

impl Pass {
    /// Makes room for sequences, each with its first position and its number of rows.
    pub(super) fn lay_out(&mut self, config: &LlamaConfig, sequences: impl Iterator<Item = (usize, usize)> + Clone) {
        self.starts.clear();
        for (_, length) in sequences.clone() {
            self.starts.extend(std::iter::repeat_n(self.starts.len(), length));
        }
        let (n, pairs) = (self.starts.len(), config.head_dim / 2);
        self.turns.resize(n * pairs, (0.0, 0.0));
        let positions = sequences.flat_map(|(position, length)| position..position + length);
        for (turns, position) in self.turns.chunks_exact_mut(pairs.max(1)).zip(positions) {
            config.rotary(position, turns);
        }
        let Self { normed, q, attended, k, v, gate, up, .. } = self;
        let widths = [config.hidden, config.q_width(), config.kv_width(), config.intermediate];
        let [hidden, wide, narrow, inner] = widths.map(|width| n * width);
        for (rows, length) in
            [(normed, hidden), (q, wide), (attended, wide), (k, narrow), (v, narrow), (gate, inner), (up, inner)]
        {
            fit(rows, length);
        }
    }
}

/// Makes `values` `length` long. What is in them is unspecified.
pub(super) fn fit(values: &mut Vec<f32>, length: usize) {
    if values.capacity() < length {
        // Zeros from the system, where growing would copy and fill.
        *values = vec![0.0; length];
    } else {
        values.resize(length, 0.0);
    }
}

/// What [`Llama::prefill_observed`] shows of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerPart {
    /// Queries `[n, heads * head_dim]` with their positions, in the file's order of rows: pair by pair.
    Queries,
    /// Keys `[n, kv_heads * head_dim]`, likewise.
    Keys,
    /// What self-attention adds to the residual stream, `[n, hidden]`.
    Attention,
    /// The residual stream after the layer, `[n, hidden]`.
    Output,
}

/// Called with a layer's number, the part, and its rows.
type Observer<'a> = &'a mut dyn FnMut(usize, LayerPart, &[f32]);

impl Llama {
    /// Maps `path` and finds its tensors; weights are read when they are first used.
    ///
    /// # Errors
    /// `not_found` without a file; `pack_invalid`, naming file and key or tensor, if it is no LLaMA GGUF file, is
    /// damaged or cut short, or holds a storage type that is not supported.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self> {
        Self::load(&Gguf::open(path.as_ref())?)
    }

    /// As [`Llama::from_gguf`], of a file that is already open (its tokenizer needs it too).
    pub fn load(gguf: &Gguf) -> Result<Self> {
        let config = LlamaConfig::from_gguf(gguf)?;
        let isa = Isa::detect();
        let embedding = Matrix::open(gguf, "token_embd.weight", config.vocab, config.hidden)?;
        let head = match gguf.find_tensor("output.weight") {
            Some(_) => Matrix::open(gguf, "output.weight", config.vocab, config.hidden)?,
            None => embedding.clone(),
        };
        let layers = (0..config.layers).map(|i| layer(gguf, &config, i)).collect::<Result<_>>()?;
        let norm = vector(gguf, "output_norm.weight", &[config.hidden])?;
        Ok(Self {
            config,
            isa,
            precision: Precision::default(),
            embedding,
            head,
            norm,
            layers,
            lora: None,
            #[cfg(any(feature = "cuda", test))]
            device: None,
        })
    }

    /// The model's extents.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Sets how activations enter products with quantised weights; [`Precision::Fast`] by default. Caches filled before stay good within what
    /// the two differ.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = &mut self.device {
            placed.model_mut().set_precision(precision);
        }
    }

    /// Sets or removes the adapter. Caches filled before do not belong to the changed model.
    ///
    /// # Errors
    /// `pack_invalid` if the adapter was made for a model of other extents; what a device says that it does not fit.
    pub fn set_lora(&mut self, lora: Option<LoraWeights>) -> Result<()> {
        if lora.as_ref().is_some_and(|l| !l.fits(&self.config)) {
            return Err(Error::pack("the adapter was made for a language model of other extents"));
        }
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = &mut self.device {
            placed.model_mut().set_lora(lora.as_ref())?;
        }
        self.lora = lora;
        Ok(())
    }

    /// The embedding rows of `ids`, `[ids.len(), hidden]`.
    ///
    /// # Errors
    /// `invalid_argument` for an id outside of the vocabulary.
    pub fn embed(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut rows = vec![0f32; ids.len() * self.config.hidden];
        self.embed_into(ids, &mut rows)?;
        Ok(rows)
    }

    /// As [`Llama::embed`], into `rows`.
    pub(super) fn embed_into(&self, ids: &[u32], rows: &mut [f32]) -> Result<()> {
        for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(self.config.hidden)) {
            if id as usize >= self.config.vocab {
                return Err(Error::invalid_argument(format!(
                    "token id {id} is outside of the vocabulary of {}; encode text with this model's own tokenizer",
                    self.config.vocab
                )));
            }
            self.embedding.weights().unpack_rows(self.isa, id as usize, row);
        }
        Ok(())
    }

    /// Runs `rows` `[n, hidden]` (embedded tokens and soft tokens, mixed) through the model after what `cache` holds,
    /// adds them to it, and gives the logits `[vocab]` of the last one. An error leaves `cache` as it was.
    ///
    /// # Errors
    /// `invalid_argument` if `rows` is empty, not a whole number of rows, or more than the context has room for;
    /// `cancelled`.
    pub fn prefill(&self, rows: &[f32], cache: &mut KvCache, cancel: &CancelToken) -> Result<Vec<f32>> {
        self.read(rows, cache, cancel, None)
    }

    /// As [`Llama::prefill`]; `observe` sees every layer's number and parts, pass by pass.
    pub fn prefill_observed(
        &self,
        rows: &[f32],
        cache: &mut KvCache,
        cancel: &CancelToken,
        observe: &mut dyn FnMut(usize, LayerPart, &[f32]),
    ) -> Result<Vec<f32>> {
        self.read(rows, cache, cancel, Some(observe))
    }

    fn read(
        &self,
        rows: &[f32],
        cache: &mut KvCache,
        cancel: &CancelToken,
        observe: Option<Observer<'_>>,
    ) -> Result<Vec<f32>> {
        let hidden = self.config.hidden;
        if rows.is_empty() || !rows.len().is_multiple_of(hidden) {
            return Err(Error::invalid_argument(format!(
                "prefill got {} floats, expected one or more rows of {hidden}",
                rows.len()
            )));
        }
        self.check_room(cache, rows.len() / hidden)?;
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return placed.run(|llama| llama.prefill(rows, cache, cancel, observe));
        }
        kernels::with_crew(|| match observe {
            Some(observe) => self.run(rows, cache, cancel, observe),
            None => self.run(rows, cache, cancel, &mut |_, _, _| ()),
        })
    }

    /// All passes over `rows`.
    fn run(&self, rows: &[f32], cache: &mut KvCache, cancel: &CancelToken, observe: Observer<'_>) -> Result<Vec<f32>> {
        let hidden = self.config.hidden;
        let before = cache.len();
        let mut last = Vec::new();
        for pass in rows.chunks(PASS_ROWS * hidden) {
            match self.append(pass, cache, cancel, observe) {
                Ok(row) => last = row,
                Err(e) => {
                    cache.truncate(before);
                    return Err(e);
                }
            }
        }
        let logits = self.logits(&last, cancel);
        if logits.is_err() {
            cache.truncate(before);
        }
        logits
    }

    /// One pass; the last row's output, before the final norm.
    fn append(
        &self,
        rows: &[f32],
        cache: &mut KvCache,
        cancel: &CancelToken,
        observe: Observer<'_>,
    ) -> Result<Vec<f32>> {
        let n = rows.len() / self.config.hidden;
        cache.drop_pending();
        let mut x = rows.to_vec();
        let mut pass = Pass::default();
        pass.lay_out(&self.config, std::iter::once((cache.len(), n)));
        for index in 0..self.layers.len() {
            self.layer_forward(index, &mut x, Before::Shared(cache), &mut pass, cancel, observe)?;
            cache.push_pending(index, &pass.k, &pass.v);
            observe(index, LayerPart::Output, &x);
        }
        cancel.check()?;
        cache.commit(n);
        Ok(x.split_off((n - 1) * self.config.hidden))
    }

    /// Runs sequences that each continue what `cache` holds, side by side: `x` `[sum of lengths, hidden]`. The cache is
    /// not changed.
    pub(super) fn continue_side_by_side(
        &self,
        mut x: Vec<f32>,
        cache: &KvCache,
        lengths: &[usize],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return placed.run(|llama| llama.continue_side_by_side(&x, cache, lengths, cancel));
        }
        let mut pass = Pass::default();
        pass.lay_out(&self.config, lengths.iter().map(|&length| (cache.len(), length)));
        kernels::with_crew(|| {
            (0..self.layers.len()).try_for_each(|index| {
                self.layer_forward(index, &mut x, Before::Shared(cache), &mut pass, cancel, &mut |_, _, _| ())
            })
        })?;
        Ok(x)
    }

    /// The final norm of layer outputs `x` `[n, hidden]`.
    pub fn final_norm(&self, x: &[f32]) -> Vec<f32> {
        let mut normed = vec![0f32; x.len()];
        kernels::rms_norm(self.isa, x, &self.norm, self.config.norm_eps, &mut normed);
        normed
    }

    /// The final norm and the output head: logits `[n, vocab]` of layer outputs `x` `[n, hidden]`.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn logits(&self, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return placed.run(|llama| llama.logits(x, cancel));
        }
        let mut logits = vec![0f32; x.len() / self.config.hidden * self.config.vocab];
        self.logits_into(x, &mut vec![0f32; x.len()], &mut logits, cancel)?;
        Ok(logits)
    }

    /// As [`Llama::logits`] on the CPU, into `logits`. `normed` is scratch, as long as `x`.
    pub(super) fn logits_into(
        &self,
        x: &[f32],
        normed: &mut [f32],
        logits: &mut [f32],
        cancel: &CancelToken,
    ) -> Result<()> {
        kernels::rms_norm(self.isa, x, &self.norm, self.config.norm_eps, normed);
        let n = x.len() / self.config.hidden;
        kernels::matmul(self.isa, self.precision, normed, n, [self.head.weights()], [logits], cancel);
        cancel.check()
    }

    pub(super) fn check_room(&self, cache: &KvCache, more: usize) -> Result<()> {
        if !cache.fits(&self.config) {
            return Err(Error::invalid_argument("the KV cache was made for a language model of other extents"));
        }
        #[cfg(any(feature = "cuda", test))]
        cache.check_place(self.placed().map(Placed::place))?;
        let total = cache.len().saturating_add(more);
        if total > self.config.context {
            return Err(Error::invalid_argument(format!(
                "{total} tokens do not fit the model's context of {}; shorten the prompt or the transcript",
                self.config.context
            )));
        }
        Ok(())
    }

    /// One layer over the pass's rows, which leaves their keys and values in the pass.
    pub(super) fn layer_forward(
        &self,
        index: usize,
        x: &mut [f32],
        before: Before<'_>,
        pass: &mut Pass,
        cancel: &CancelToken,
        observe: Observer<'_>,
    ) -> Result<()> {
        let (config, isa) = (&self.config, self.isa);
        let Some(layer) = self.layers.get(index) else { return Err(Error::internal("no such layer")) };
        let Pass { starts, turns, normed, q, attended, k, v, gate, up, scores, low } = pass;
        let n = starts.len();
        kernels::rms_norm(isa, x, &layer.attention_norm, config.norm_eps, normed);
        let projections = [&layer.q, &layer.k, &layer.v].map(Matrix::weights);
        kernels::matmul(isa, self.precision, normed, n, projections, [q, k, v], cancel);
        if let Some(lora) = self.lora.as_ref().and_then(|l| l.layer(index)) {
            self.adapt(lora.q.as_ref(), normed, low, q);
            self.adapt(lora.v.as_ref(), normed, low, v);
        }
        self.rotate(q, turns, n);
        self.rotate(k, turns, n);
        observe(index, LayerPart::Queries, q);
        observe(index, LayerPart::Keys, k);

        self.attend(q, before, index, (k, v), starts, scores, attended, cancel);
        kernels::matmul(isa, self.precision, attended, n, [layer.o.weights()], [normed], cancel);
        observe(index, LayerPart::Attention, normed);
        kernels::add(x, normed);

        kernels::rms_norm(isa, x, &layer.mlp_norm, config.norm_eps, normed);
        let projections = [&layer.gate, &layer.up].map(Matrix::weights);
        kernels::matmul(isa, self.precision, normed, n, projections, [gate, up], cancel);
        let wide = config.intermediate.max(1);
        kernels::for_each_row(gate, wide, |row, gate| kernels::silu_mul(isa, gate, &up[row * wide..][..wide]));
        kernels::matmul(isa, self.precision, gate, n, [layer.down.weights()], [normed], cancel);
        kernels::add(x, normed);
        cancel.check()
    }

    /// Causal attention: a row sees what its sequence continues, and the rows of its sequence up to itself.
    #[allow(
        clippy::too_many_arguments,
        reason = "the extents of one product; a struct would be made for this call alone"
    )]
    fn attend(
        &self,
        q: &[f32],
        before: Before<'_>,
        layer: usize,
        own: (&[f32], &[f32]),
        starts: &[usize],
        scores: &mut Vec<f32>,
        out: &mut [f32],
        cancel: &CancelToken,
    ) {
        let (isa, shape) = (self.isa, self.config.attention());
        match before {
            Before::Shared(cache) if starts.len() == 1 => {
                kernels::attend_row(isa, shape, q, [cache.layer(layer), own], scores, out);
            }
            Before::Shared(cache) => {
                kernels::attend(isa, shape, q, Context { prefix: cache.layer(layer), own, starts }, out, cancel);
            }
            Before::Each(caches) => {
                let narrow = self.config.kv_width();
                let own = |row: usize| (&own.0[row * narrow..][..narrow], &own.1[row * narrow..][..narrow]);
                let stretches = |row: usize| [caches.get(row).map_or((&[][..], &[][..]), |c| c.layer(layer)), own(row)];
                // As many as there is room for: further steps then need no more.
                let keys = caches.iter().map(KvCache::room).max().unwrap_or(0) + 1;
                fit(scores, caches.len() * shape.kv_heads * keys);
                kernels::attend_rows(isa, shape, q, stretches, scores, out);
            }
        }
    }

    /// Adds `B (A x)` for each row of `x`.
    fn adapt(&self, adapter: Option<&Adapter>, x: &[f32], low: &mut Vec<f32>, y: &mut [f32]) {
        let Some(Adapter { a, b, rank }) = adapter else { return };
        let (hidden, rank, out) = (self.config.hidden, *rank, b.len() / rank);
        let n = x.len() / hidden;
        fit(low, n * rank);
        if n <= FEW_ROWS {
            kernels::add_low_rank(self.isa, a, b, x, n, low, y);
            return;
        }
        let mut high = vec![0f32; n * out];
        sgemm(low, rank, View::new(x, n, hidden), View::new(a, rank, hidden).transposed(), 1.0);
        sgemm(&mut high, out, View::new(low, n, rank), View::new(b, out, rank).transposed(), 1.0);
        kernels::add(y, &high);
    }

    /// Rotary position embedding (Su et al. 2021) of all heads in `rows`.
    fn rotate(&self, rows: &mut [f32], turns: &[(f32, f32)], n: usize) {
        let head_dim = self.config.head_dim;
        let width = rows.len() / n.max(1);
        if width == 0 || head_dim < 2 {
            return;
        }
        kernels::for_each_row(rows, width, |index, row| {
            let turns = turns.get(index * (head_dim / 2)..).unwrap_or_default();
            for head in row.chunks_exact_mut(head_dim) {
                for (pair, &(sin, cos)) in head.chunks_exact_mut(2).zip(turns) {
                    if let [x, y] = pair {
                        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                    }
                }
            }
        });
    }
}

#[cfg(any(feature = "cuda", test))]
impl Llama {
    /// Copies the weights and the adapter to a device, where everything but [`Llama::embed`] and [`Llama::final_norm`] is computed from then
    /// on. Caches that were filled before cannot be used further.
    ///
    /// Prompts are read and labels scored as exactly as `place`'s type allows. So is text written with [`Precision::Full`], for which all weights
    /// are unpacked at every step; otherwise a step rounds activations to 8 bits.
    /// Should the device be lost, the call that notices fails with `unreachable`, and further ones are computed on the CPU.
    ///
    /// # Errors
    /// `out_of_memory` if the device has too little, `unreachable` if it fails; the model then stays where it was.
    pub fn move_to_device(&mut self, place: &Place) -> Result<()> {
        let mut model = DeviceLlama::new(&self.config, &self.layers, &self.head, &self.norm, place)?;
        model.set_precision(self.precision);
        model.set_lora(self.lora.as_ref())?;
        self.device = Some(Placed::new(model, place));
        Ok(())
    }

    /// Gives the device's memory back; everything is computed on the CPU again.
    pub fn move_to_host(&mut self) {
        self.device = None;
    }

    /// Where the model computes, unless that is the CPU.
    pub fn place(&self) -> Option<&Place> {
        self.placed().map(Placed::place)
    }

    /// The model on the device, while that is there.
    pub(crate) fn placed(&self) -> Option<&Placed<DeviceLlama>> {
        self.device.as_ref().filter(|placed| placed.is_there())
    }
}

fn layer(gguf: &Gguf, config: &LlamaConfig, index: usize) -> Result<Layer> {
    let (hidden, wide) = (config.hidden, config.intermediate);
    let (q_width, kv_width) = (config.q_width(), config.kv_width());
    let matrix = |name: &str, rows, columns| Matrix::open(gguf, &format!("blk.{index}.{name}.weight"), rows, columns);
    let vector = |name: &str| vector(gguf, &format!("blk.{index}.{name}.weight"), &[hidden]);
    Ok(Layer {
        attention_norm: vector("attn_norm")?,
        q: matrix("attn_q", q_width, hidden)?,
        k: matrix("attn_k", kv_width, hidden)?,
        v: matrix("attn_v", kv_width, hidden)?,
        o: matrix("attn_output", hidden, q_width)?,
        mlp_norm: vector("ffn_norm")?,
        gate: matrix("ffn_gate", wide, hidden)?,
        up: matrix("ffn_up", wide, hidden)?,
        down: matrix("ffn_down", hidden, wide)?,
    })
}
