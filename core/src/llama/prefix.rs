//! What all prompts of a pack begin with: it is read once, and its keys and values serve every later call.

use std::sync::{Mutex, PoisonError};

use crate::cancel::CancelToken;
use crate::error::Result;
use crate::llama::{KvCache, Llama, Tokenizer};

/// The fixed beginnings of a pack's prompts.
///
/// Rows that begin with one of them are read in two parts, also the first time. So how often something was asked before makes no difference to
/// an answer.
pub(crate) struct Prefixes(Vec<Prefix>);

struct Prefix {
    /// `[n, hidden]`.
    rows: Vec<f32>,
    /// Their keys and values, once they were read.
    read: Mutex<Option<KvCache>>,
}

impl Prefixes {
    /// For prompts that begin with one of `texts`, which are tokenized apart from what follows.
    ///
    /// # Errors
    /// What the tokenizer says.
    pub fn new<'a>(llama: &Llama, tokenizer: &Tokenizer, texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let rows = texts.into_iter().map(|text| llama.embed(&tokenizer.encode(text, true)?));
        Ok(Self::of_rows(rows.collect::<Result<_>>()?))
    }

    /// For prompts that begin with one of `rows`, each `[n, hidden]`.
    pub fn of_rows(rows: Vec<Vec<f32>>) -> Self {
        let prefixes = rows.into_iter().filter(|rows| !rows.is_empty());
        Self(prefixes.map(|rows| Prefix { rows, read: Mutex::new(None) }).collect())
    }

    /// As [`Llama::prefill`]. Where a cache is empty and `rows` begin with a prefix, only what follows it is read.
    ///
    /// # Errors
    /// As [`Llama::prefill`].
    pub fn prefill(&self, llama: &Llama, rows: &[f32], cache: &mut KvCache, cancel: &CancelToken) -> Result<Vec<f32>> {
        let begins = |prefix: &&Prefix| rows.len() > prefix.rows.len() && rows.starts_with(&prefix.rows);
        // The longest: one may begin as another does.
        let longest = self.0.iter().filter(begins).max_by_key(|prefix| prefix.rows.len());
        let Some(prefix) = longest.filter(|_| cache.is_empty()) else {
            return llama.prefill(rows, cache, cancel);
        };
        *cache = prefix.read(llama, cancel)?;
        let logits = llama.prefill(rows.get(prefix.rows.len()..).unwrap_or_default(), cache, cancel);
        if logits.is_err() {
            cache.truncate(0);
        }
        logits
    }
}

impl Prefix {
    /// A cache that holds the rows.
    fn read(&self, llama: &Llama, cancel: &CancelToken) -> Result<KvCache> {
        let held = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Not if they are on a device that was lost meanwhile.
        if let Some(cache) = held.filter(|cache| llama.check_room(cache, 0).is_ok()) {
            return Ok(cache);
        }
        // Calls that come at the same time read the same, rather than wait for one that may be cancelled.
        let mut cache = KvCache::new(llama.config());
        llama.prefill(&self.rows, &mut cache, cancel)?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache.clone());
        Ok(cache)
    }
}
