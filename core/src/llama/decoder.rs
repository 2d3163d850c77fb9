//! Decoding steps: one token of each of some sequences, for all of which the weights are read once.

use super::cache::KvCache;
use super::model::{fit, Before, Llama, Pass};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::kernels;

/// Runs decoding steps of a model.
///
/// What a step computes in is kept for the next one, so that a step of no more sequences than one before takes no memory on the CPU, unless a
/// cache has to grow.
pub struct Decoder<'a> {
    llama: &'a Llama,
    pass: Pass,
    /// `[n, hidden]`.
    x: Vec<f32>,
    /// `[n, vocab]`.
    logits: Vec<f32>,
}

impl<'a> Decoder<'a> {
    /// For steps of `llama`.
    pub fn new(llama: &'a Llama) -> Self {
        Self { llama, pass: Pass::default(), x: Vec::new(), logits: Vec::new() }
    }

    /// One decoding step of each sequence: token `ids[i]` after what `caches[i]` holds. Gives the logits of the next tokens, `[ids.len(), vocab]`. The
    /// sequences may have any lengths; an error leaves all caches as they were.
    ///
    /// # Errors
    /// `invalid_argument` for an id outside of the vocabulary, a full context, or when there are not as many ids as caches; `cancelled`.
    pub fn step(&mut self, ids: &[u32], caches: &mut [KvCache], cancel: &CancelToken) -> Result<&[f32]> {
        if ids.len() != caches.len() {
            let (ids, caches) = (ids.len(), caches.len());
            return Err(Error::invalid_argument(format!(
                "{ids} tokens were given for {caches} sequences; give one for each"
            )));
        }
        for cache in caches.iter_mut() {
            self.llama.check_room(cache, 1)?;
            cache.drop_pending();
        }
        let config = self.llama.config();
        fit(&mut self.x, ids.len() * config.hidden);
        self.llama.embed_into(ids, &mut self.x)?;
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.llama.placed() {
            let x = &self.x;
            self.logits = placed.run(|llama| match &mut *caches {
                [] => Ok(Vec::new()),
                [alone] => llama.prefill(x, alone, cancel, None),
                caches => llama.decode_each(x, caches, cancel),
            })?;
            return Ok(&self.logits);
        }
        fit(&mut self.logits, ids.len() * config.vocab);
        if !ids.is_empty() {
            kernels::with_crew(|| self.run(caches, cancel))?;
        }
        Ok(&self.logits)
    }

    fn run(&mut self, caches: &mut [KvCache], cancel: &CancelToken) -> Result<()> {
        let Self { llama, pass, x, logits } = self;
        let config = llama.config();
        pass.lay_out(config, caches.iter().map(|cache| (cache.len(), 1)));
        for index in 0..config.layers {
            llama.layer_forward(index, x, Before::Each(caches), pass, cancel, &mut |_, _, _| ())?;
            let rows = pass.k.chunks_exact(config.kv_width()).zip(pass.v.chunks_exact(config.kv_width()));
            for (cache, (keys, values)) in caches.iter_mut().zip(rows) {
                cache.push_pending(index, keys, values);
            }
        }
        llama.logits_into(x, &mut pass.normed, logits, cancel)?;
        caches.iter_mut().for_each(|cache| cache.commit(1));
        Ok(())
    }
}

impl Llama {
    /// One step of a [`Decoder`] of its own: token `id` after what `cache` holds; gives the logits `[vocab]` of the next token.
    ///
    /// # Errors
    /// As [`Decoder::step`].
    pub fn decode(&self, id: u32, cache: &mut KvCache, cancel: &CancelToken) -> Result<Vec<f32>> {
        Ok(Decoder::new(self).step(&[id], std::slice::from_mut(cache), cancel)?.to_vec())
    }
}
