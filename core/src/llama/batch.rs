//! One step of many sequences at once: the weights are read once for all of them.

use super::cache::KvCache;
use super::model::{Before, Llama, Pass};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::kernels;

impl Llama {
    /// One decoding step of each sequence: token `ids[i]` after what `caches[i]` holds. Gives the logits of the next tokens, `[ids.len(), vocab]`. The
    /// sequences may have any lengths; an error leaves all caches as they were.
    ///
    /// # Errors
    /// As [`Llama::decode`]; `invalid_argument` when there are not as many ids as caches.
    pub fn decode_each(&self, ids: &[u32], caches: &mut [&mut KvCache], cancel: &CancelToken) -> Result<Vec<f32>> {
        if ids.len() != caches.len() {
            let (ids, caches) = (ids.len(), caches.len());
            return Err(Error::invalid_argument(format!(
                "{ids} tokens were given for {caches} sequences; give one for each"
            )));
        }
        if let ([id], [cache]) = (ids, &mut *caches) {
            return self.decode(*id, cache, cancel);
        }
        for cache in caches.iter_mut() {
            self.check_room(cache, 1)?;
            cache.drop_pending();
        }
        let x = self.embed(ids)?;
        if x.is_empty() {
            return Ok(x);
        }
        #[cfg(any(feature = "cuda", test))]
        if let Some(placed) = self.placed() {
            return placed.run(|llama| llama.decode_each(&x, caches, cancel));
        }
        kernels::with_crew(|| self.step(x, caches, cancel))
    }

    /// One step of the rows `x`, one to a cache.
    fn step(&self, mut x: Vec<f32>, caches: &mut [&mut KvCache], cancel: &CancelToken) -> Result<Vec<f32>> {
        let mut pass = Pass::new(self.config(), caches.iter().map(|cache| (cache.len(), 1)));
        let width = self.config().kv_width();
        for index in 0..self.config().layers {
            self.layer_forward(index, &mut x, Before::Each(caches), &mut pass, cancel, &mut |_, _, _| ())?;
            let rows = pass.k.chunks_exact(width).zip(pass.v.chunks_exact(width));
            for (cache, (keys, values)) in caches.iter_mut().zip(rows) {
                cache.push_pending(index, keys, values);
            }
        }
        let logits = self.logits(&x, cancel)?;
        caches.iter_mut().for_each(|cache| cache.commit(1));
        Ok(logits)
    }
}
