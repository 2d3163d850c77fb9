//! Text to token ids and back, with the vocabulary that a GGUF file carries.
//!
//! Two kinds: byte-level BPE as of GPT-2 ([`byte_level`]), and BPE by scores with byte fallback as SentencePiece does it
//! for LLaMA and Llama 2 ([`sentencepiece`]). Both join neighbouring symbols, best pair first, then leftmost
//! ([`merge`]). [`Vocabulary`] reads the files that the second kind is published in.

mod byte_level;
mod merge;
mod sentencepiece;
mod sentencepiece_model;
mod tokenizer_json;
mod vocabulary;
mod vocabulary_files;

use std::cmp::Reverse;

use crate::error::{Error, Result};
use crate::gguf::Gguf;

pub use vocabulary::Vocabulary;

/// A tokenizer; immutable, shared by reference.
#[derive(Debug)]
pub struct Tokenizer {
    tokens: TokenTable,
    /// Special tokens' text and id.
    specials: Vec<(String, u32)>,
    model: Model,
    bos: Option<u32>,
    eos: Option<u32>,
    stops: Vec<u32>,
}

#[derive(Debug)]
enum Model {
    ByteLevel(byte_level::ByteLevelBpe),
    SentencePiece(sentencepiece::SentencePieceBpe),
}

impl Tokenizer {
    /// Reads the `tokenizer.ggml.*` metadata.
    ///
    /// # Errors
    /// `pack_invalid` naming the key, for another kind of tokenizer or damaged metadata.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        read(gguf).map_err(|e| e.context(gguf.path().display()))
    }

    /// The tokenizer of a SentencePiece vocabulary, without a GGUF file.
    ///
    /// # Errors
    /// `pack_invalid` for a vocabulary that does not hold together: lengths that differ, a piece that occurs twice,
    /// ids beyond the vocabulary.
    pub fn from_vocabulary(vocabulary: &Vocabulary) -> Result<Self> {
        sentencepiece::tokenizer(vocabulary, true)
    }

    /// The ids of `text`. With `parse_specials`, special tokens written out (`<|im_start|>`, `<s>`) become their ids;
    /// without, they are ordinary text, which is what text from outside must be. No token is added.
    ///
    /// Byte-level: control characters that the vocabulary lacks are left out, as the original does. SentencePiece: each
    /// stretch between special tokens gets a space in front, as the slow tokenizer of transformers 4.30 does.
    ///
    /// # Errors
    /// `invalid_argument` if the text cannot be split into words.
    pub fn encode(&self, text: &str, parse_specials: bool) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut at = 0;
        if parse_specials {
            let mut search = SpecialSearch { text, specials: &self.specials, next: vec![Some(0); self.specials.len()] };
            search.next.iter_mut().zip(&self.specials).for_each(|(next, (special, _))| *next = text.find(special));
            while let Some((start, length, id)) = search.first_from(at) {
                self.encode_plain(text.get(at..start).unwrap_or_default(), &mut ids)?;
                ids.push(id);
                at = start + length;
            }
        }
        self.encode_plain(text.get(at..).unwrap_or_default(), &mut ids)?;
        Ok(ids)
    }

    /// The text of `ids`; special tokens are left out unless `keep_specials`. Bytes that are not UTF-8 become U+FFFD,
    /// ids outside of the vocabulary nothing.
    ///
    /// SentencePiece: the space that the whole text begins with is taken off.
    pub fn decode(&self, ids: &[u32], keep_specials: bool) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            if keep_specials || !self.is_special(id) {
                bytes.extend_from_slice(self.tokens.bytes(id));
            }
        }
        let own = self.without_prefix(&bytes);
        String::from_utf8_lossy(own).into_owned()
    }

    /// A decoder for ids that come one by one.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, pending: Vec::new(), started: false }
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The id of the token with exactly this text, special or not. SentencePiece: as the vocabulary writes it
    /// (`▁the`, `<0x0A>`).
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let special = self.specials.iter().find(|(t, _)| t == text).map(|s| s.1);
        special.or_else(|| match &self.model {
            Model::ByteLevel(_) => self.tokens.find(text.as_bytes()),
            Model::SentencePiece(model) => model.piece_id(text),
        })
    }

    /// Whether `id` is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.iter().any(|s| s.1 == id)
    }

    /// The token that begins a text, if the model has one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text, if the model has one.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos
    }

    /// The tokens that end an answer: the end of the text, of a turn, or of the document.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stops
    }

    fn new(
        tokens: TokenTable,
        specials: Vec<(String, u32)>,
        model: Model,
        bos: Option<u32>,
        eos: Option<u32>,
    ) -> Tokenizer {
        let ends_answer = |text: &str| ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>"].contains(&text);
        let mut stops: Vec<u32> = specials.iter().filter(|s| ends_answer(&s.0)).map(|s| s.1).chain(eos).collect();
        stops.sort_unstable();
        stops.dedup();
        Tokenizer { tokens, specials, model, bos, eos, stops }
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match &self.model {
            Model::ByteLevel(model) => model.encode(text, ids)?,
            Model::SentencePiece(model) => model.encode(text, ids),
        }
        Ok(())
    }

    /// A whole text's bytes less the space that encoding put in front.
    fn without_prefix<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match &self.model {
            Model::SentencePiece(model) if model.adds_prefix() => bytes.strip_prefix(b" ").unwrap_or(bytes),
            _ => bytes,
        }
    }
}

/// The bytes that each token stands for.
#[derive(Debug, Default)]
struct TokenTable {
    /// Bytes of all tokens, one after another; `ends[id]` is where token `id` ends.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl TokenTable {
    /// Adds the next token; its bytes are what follows the last one's in `self.bytes`.
    fn end_token(&mut self) -> Result<()> {
        let end = u32::try_from(self.bytes.len()).map_err(|_| Error::pack("the vocabulary is too large"))?;
        self.ends.push(end);
        Ok(())
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        let at = |i: usize| self.ends.get(i).map(|&e| e as usize);
        let start = (id as usize).checked_sub(1).map_or(Some(0), at);
        match (start, at(id as usize)) {
            (Some(start), Some(end)) => self.bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<u32> {
        (0..self.ends.len() as u32).find(|&id| self.bytes(id) == bytes)
    }
}

/// Special tokens in a text, from the front. Where each comes next is kept, so that a text full of one is not searched
/// again and again for the others.
struct SpecialSearch<'a> {
    text: &'a str,
    specials: &'a [(String, u32)],
    next: Vec<Option<usize>>,
}

impl SpecialSearch<'_> {
    /// Where the first special token from `at` on starts, its length and id; the longest if several start there.
    fn first_from(&mut self, at: usize) -> Option<(usize, usize, u32)> {
        let mut first = None;
        for ((special, id), next) in self.specials.iter().zip(&mut self.next) {
            if next.is_some_and(|next| next < at) {
                *next = self.text.get(at..).and_then(|rest| rest.find(special)).map(|found| at + found);
            }
            if let Some(start) = *next {
                let this = (start, Reverse(special.len()), *id);
                first = Some(first.map_or(this, |first: (usize, Reverse<usize>, u32)| first.min(this)));
            }
        }
        first.map(|(start, Reverse(length), id)| (start, length, id))
    }
}

/// Turns ids that come one by one into text, whole characters at a time. Special tokens give nothing.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
    /// Whether any byte was taken out of `pending` yet.
    started: bool,
}

impl StreamDecoder<'_> {
    /// The text that `id` completes; empty while a character is only half there.
    pub fn push(&mut self, id: u32) -> String {
        if !self.tokenizer.is_special(id) {
            self.pending.extend_from_slice(self.tokenizer.tokens.bytes(id));
        }
        let whole = whole_characters(&self.pending);
        let bytes = self.pending.drain(..whole).collect::<Vec<u8>>();
        let own = if self.started { &bytes[..] } else { self.tokenizer.without_prefix(&bytes) };
        self.started |= !bytes.is_empty();
        String::from_utf8_lossy(own).into_owned()
    }

    /// What is left at the end, an unfinished character as U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Bytes before an unfinished character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        match std::str::from_utf8(rest) {
            Ok(_) => return bytes.len(),
            Err(e) => match e.error_len() {
                None => return at + e.valid_up_to(),
                Some(bad) => at += e.valid_up_to() + bad,
            },
        }
    }
    bytes.len()
}

fn read(gguf: &Gguf) -> Result<Tokenizer> {
    match gguf.text("tokenizer.ggml.model")?.unwrap_or("(none)") {
        "gpt2" => byte_level::read(gguf),
        "llama" => sentencepiece::read(gguf),
        other => Err(Error::pack(format!(
            "tokenizer {other:?} is not supported; \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece BPE) are"
        ))),
    }
}

/// A token id from the metadata, if it is there.
fn token_id_of(gguf: &Gguf, key: &str, tokens: usize) -> Result<Option<u32>> {
    match gguf.uint(key)? {
        Some(id) if id >= tokens => Err(Error::pack(format!("metadata {key:?} is {id}, beyond the vocabulary"))),
        id => Ok(id.map(|id| id as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_character_waits() {
        let bytes = "aé漢".as_bytes();
        assert_eq!(whole_characters(&bytes[..2]), 1);
        assert_eq!(whole_characters(&bytes[..5]), 3);
        assert_eq!(whole_characters(bytes), bytes.len());
        assert_eq!(whole_characters(&[0xff, b'a', 0xe6]), 2);
    }

    #[test]
    fn specials_are_found_in_order_and_the_longest_first() {
        let specials = [("<s>".to_owned(), 1), ("<s>>".to_owned(), 2), ("!".to_owned(), 3)];
        let text = "a!<s>b<s>>!";
        let next = specials.iter().map(|s| text.find(&s.0)).collect();
        let mut search = SpecialSearch { text, specials: &specials, next };
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((start, length, id)) = search.first_from(at) {
            found.push((start, id));
            at = start + length;
        }
        assert_eq!(found, [(1, 3), (2, 1), (6, 2), (10, 3)]);
    }
}
