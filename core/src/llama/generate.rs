//! The generation loop.

use std::ops::ControlFlow;

use super::cache::KvCache;
use super::decoder::Decoder;
use super::model::Llama;
use super::sampler::Sampler;
use crate::cancel::CancelToken;
use crate::error::Result;

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The model gave a stop token, which is not among the ids.
    StopToken,
    /// `max_new_tokens` of the sampler's options were generated.
    MaxTokens,
    /// The model's context is full.
    ContextFull,
    /// The callback asked to stop.
    Callback,
}

/// Generated tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The tokens in order, without the stop token.
    pub ids: Vec<u32>,
    /// Why there are no more.
    pub stop_reason: StopReason,
}

/// Generates text after what `cache` holds, whose last row gave `first_logits` `[vocab]`.
///
/// `on_token` gets each token at once, for streaming, and may end the loop. Each token but the last goes into `cache`.
///
/// # Errors
/// `cancelled`; `pack_invalid` if the model gives no numbers.
pub fn generate(
    model: &Llama,
    cache: &mut KvCache,
    first_logits: &[f32],
    sampler: &mut Sampler,
    stop_ids: &[u32],
    cancel: &CancelToken,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Generation> {
    let most = reserve(model, cache, sampler);
    let mut ids = Vec::with_capacity(most);
    let mut decoder = Decoder::new(model);
    let mut id = sampler.sample(first_logits)?;
    let stop_reason = loop {
        cancel.check()?;
        if stop_ids.contains(&id) {
            break StopReason::StopToken;
        }
        ids.push(id);
        if on_token(id).is_break() {
            break StopReason::Callback;
        }
        if ids.len() >= sampler.options().max_new_tokens {
            break StopReason::MaxTokens;
        }
        if cache.len() >= model.config().context {
            break StopReason::ContextFull;
        }
        let logits = decoder.step(&[id], std::slice::from_mut(cache), cancel)?;
        id = sampler.sample(logits)?;
    };
    Ok(Generation { ids, stop_reason })
}

/// Takes the memory that writing after what `cache` holds needs. Gives the most tokens that there can be, of which the last is never run.
pub(super) fn reserve(model: &Llama, cache: &mut KvCache, sampler: &mut Sampler) -> usize {
    let room = model.config().context.saturating_sub(cache.len());
    let most = sampler.options().max_new_tokens.min(room.saturating_add(1));
    cache.reserve(most.saturating_sub(1));
    sampler.reserve(most);
    most
}
