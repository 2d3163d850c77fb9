//! Text to token ids and back: byte-level BPE from a GGUF file's vocabulary and merges.
//!
//! Words are split as GPT-2 does (`tokenizers` does it), for SmolLM after single digits; merging follows Sennrich et
//! al. 2016, lowest rank first, then leftmost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};

const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// A tokenizer; immutable, shared by reference.
#[derive(Debug)]
pub struct Tokenizer {
    /// Bytes of all tokens, one after another; `ends[id]` is where token `id` ends.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Special tokens' text and id.
    specials: Vec<(String, u32)>,
    /// Two neighbouring tokens to their rank and what they become.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The token of each single byte, if the vocabulary has it.
    byte_ids: Vec<Option<u32>>,
    single_digits: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    stops: Vec<u32>,
}

impl Tokenizer {
    /// Reads the `tokenizer.ggml.*` metadata.
    ///
    /// # Errors
    /// `pack_invalid` naming the key, for another kind of tokenizer or damaged metadata.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        read(gguf).map_err(|e| e.context(gguf.path().display()))
    }

    /// The ids of `text`. With `parse_specials`, special tokens written out (`<|im_start|>`) become their ids;
    /// without, they are ordinary text, which is what text from outside must be. No token is added.
    ///
    /// Control characters that the vocabulary lacks are left out, as the original does.
    ///
    /// # Errors
    /// `invalid_argument` if the text cannot be split into words.
    pub fn encode(&self, text: &str, parse_specials: bool) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut rest = text;
        while let Some((at, special, id)) = self.find_special(rest).filter(|_| parse_specials) {
            let (before, after) = rest.split_at(at);
            self.encode_plain(before, &mut ids)?;
            ids.push(id);
            rest = after.get(special..).unwrap_or_default();
        }
        self.encode_plain(rest, &mut ids)?;
        Ok(ids)
    }

    /// The text of `ids`; special tokens are left out unless `keep_specials`. Bytes that are not UTF-8 become U+FFFD,
    /// ids outside of the vocabulary nothing.
    pub fn decode(&self, ids: &[u32], keep_specials: bool) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            if keep_specials || !self.is_special(id) {
                bytes.extend_from_slice(self.token_bytes(id));
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A decoder for ids that come one by one.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, pending: Vec::new() }
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.ends.len()
    }

    /// The id of the token with exactly this text, special or not.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let special = self.specials.iter().find(|(t, _)| t == text).map(|s| s.1);
        special.or_else(|| (0..self.ends.len() as u32).find(|&id| self.token_bytes(id) == text.as_bytes()))
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

    fn token_bytes(&self, id: u32) -> &[u8] {
        let at = |i: usize| self.ends.get(i).map(|&e| e as usize);
        let start = (id as usize).checked_sub(1).map_or(Some(0), at);
        match (start, at(id as usize)) {
            (Some(start), Some(end)) => self.bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Where the first special token starts, its length and id; the longest if several start there.
    fn find_special(&self, text: &str) -> Option<(usize, usize, u32)> {
        let hits = self.specials.iter().filter_map(|(s, id)| Some((text.find(s.as_str())?, s.len(), *id)));
        hits.min_by_key(|&(at, len, _)| (at, Reverse(len)))
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut words = PreTokenizedString::from(text);
        let digits = if self.single_digits { Digits::new(true).pre_tokenize(&mut words) } else { Ok(()) };
        digits
            .and_then(|()| ByteLevel::new(false, true, true).pre_tokenize(&mut words))
            .map_err(|e| Error::invalid_argument(format!("the text cannot be split into words: {e}")))?;
        for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::None) {
            let symbols = word.chars().filter_map(|c| *self.byte_ids.get(usize::from(byte_of(c)?))?);
            merge_word(symbols.collect(), &self.merges, ids);
        }
        Ok(())
    }
}

/// Joins neighbours in `symbols`, lowest rank first and leftmost among equals, and adds what is left to `out`.
fn merge_word(mut symbols: Vec<u32>, merges: &HashMap<(u32, u32), (u32, u32)>, out: &mut Vec<u32>) {
    const NONE: usize = usize::MAX;
    let n = symbols.len();
    // A doubly linked list in place: a joined symbol stays at its left part's index.
    let mut next: Vec<usize> = (1..=n).map(|i| if i < n { i } else { NONE }).collect();
    let mut previous: Vec<usize> = (0..n).map(|i| i.wrapping_sub(1)).collect();
    let mut alive = vec![true; n];
    let mut queue = BinaryHeap::new();
    let candidate = |symbols: &[u32], left: usize, right: usize| {
        let pair = (*symbols.get(left)?, *symbols.get(right)?);
        merges.get(&pair).map(|&(rank, joined)| Reverse((rank, left, right, pair, joined)))
    };
    queue.extend((1..n).filter_map(|i| candidate(&symbols, i - 1, i)));
    while let Some(Reverse((_, left, right, pair, joined))) = queue.pop() {
        // An entry is stale once either side was joined with something else.
        if !alive[left] || !alive[right] || next[left] != right || (symbols[left], symbols[right]) != pair {
            continue;
        }
        symbols[left] = joined;
        alive[right] = false;
        next[left] = next[right];
        if let Some(previous) = previous.get_mut(next[left]) {
            *previous = left;
        }
        queue.extend(candidate(&symbols, previous[left], left));
        queue.extend(candidate(&symbols, left, next[left]));
    }
    out.extend(symbols.iter().zip(&alive).filter(|(_, &alive)| alive).map(|(&id, _)| id));
}

/// Turns ids that come one by one into text, whole characters at a time. Special tokens give nothing.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
}

impl StreamDecoder<'_> {
    /// The text that `id` completes; empty while a character is only half there.
    pub fn push(&mut self, id: u32) -> String {
        if !self.tokenizer.is_special(id) {
            self.pending.extend_from_slice(self.tokenizer.token_bytes(id));
        }
        let whole = whole_characters(&self.pending);
        let piece = self.pending.drain(..whole).collect::<Vec<u8>>();
        String::from_utf8_lossy(&piece).into_owned()
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
    let model = gguf.text("tokenizer.ggml.model")?.unwrap_or("(none)");
    if model != "gpt2" {
        return Err(Error::pack(format!("tokenizer {model:?} is not supported; \"gpt2\" (byte-level BPE) is")));
    }
    let single_digits = match gguf.text("tokenizer.ggml.pre")?.unwrap_or("gpt-2") {
        "smollm" => true,
        "gpt-2" | "default" => false,
        other => {
            return Err(Error::pack(format!("word splitting {other:?} is not supported; \"smollm\" and \"gpt-2\" are")))
        }
    };
    let tokens = gguf.text_array("tokenizer.ggml.tokens")?;
    let kinds = match gguf.value("tokenizer.ggml.token_type") {
        None => vec![NORMAL; tokens.len()],
        Some(Value::IntArray(kinds)) if kinds.len() == tokens.len() => kinds.clone(),
        Some(_) => return Err(Error::pack("metadata \"tokenizer.ggml.token_type\" does not match the vocabulary")),
    };
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(tokens.len());
    let mut specials = Vec::new();
    let mut ids = HashMap::with_capacity(tokens.len());
    for ((token, kind), id) in tokens.iter().zip(kinds).zip(0u32..) {
        if (kind == CONTROL || kind == USER_DEFINED) && !token.is_empty() {
            specials.push((token.to_string(), id));
            bytes.extend_from_slice(token.as_bytes());
        } else {
            ids.entry(*token).or_insert(id);
            let start = bytes.len();
            for c in token.chars() {
                match byte_of(c) {
                    Some(byte) => bytes.push(byte),
                    None => {
                        bytes.truncate(start);
                        bytes.extend_from_slice(token.as_bytes());
                        break;
                    }
                }
            }
        }
        ends.push(u32::try_from(bytes.len()).map_err(|_| Error::pack("the vocabulary is too large"))?);
    }
    let merges = read_merges(&gguf.text_array("tokenizer.ggml.merges")?, &ids)?;
    let byte_ids = (0..=255).map(|b| ids.get(char_of(b).encode_utf8(&mut [0; 4]) as &str).copied()).collect();
    let id = |key: &str| -> Result<Option<u32>> {
        match gguf.uint(key)? {
            Some(id) if id >= tokens.len() => {
                Err(Error::pack(format!("metadata {key:?} is {id}, beyond the vocabulary")))
            }
            id => Ok(id.map(|id| id as u32)),
        }
    };
    let (bos, eos) = (id("tokenizer.ggml.bos_token_id")?, id("tokenizer.ggml.eos_token_id")?);
    let ends_answer = |text: &str| ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>"].contains(&text);
    let mut stops: Vec<u32> = specials.iter().filter(|s| ends_answer(&s.0)).map(|s| s.1).chain(eos).collect();
    stops.sort_unstable();
    stops.dedup();
    Ok(Tokenizer { bytes, ends, specials, merges, byte_ids, single_digits, bos, eos, stops })
}

fn read_merges(lines: &[&str], ids: &HashMap<&str, u32>) -> Result<HashMap<(u32, u32), (u32, u32)>> {
    let mut merges = HashMap::with_capacity(lines.len());
    let mut joined = String::new();
    for (line, rank) in lines.iter().zip(0u32..) {
        let found = line.split_once(' ').and_then(|(left, right)| {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            Some(((*ids.get(left)?, *ids.get(right)?), *ids.get(joined.as_str())?))
        });
        let Some((pair, id)) = found else {
            return Err(Error::pack(format!(
                "merge {line:?} names tokens that the vocabulary lacks; the file is damaged"
            )));
        };
        merges.entry(pair).or_insert((rank, id));
    }
    Ok(merges)
}

/// GPT-2's printable stand-in for a byte: itself where printable, otherwise one from U+0100 on.
fn char_of(byte: u8) -> char {
    let own = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if own(byte) {
        return char::from(byte);
    }
    let index = (0..byte).filter(|&b| !own(b)).count() as u32;
    char::from_u32(0x100 + index).unwrap_or('\u{fffd}')
}

/// The byte that `c` stands for, if it is a stand-in.
fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        code @ 0..=0xff => {
            let byte = code as u8;
            (char_of(byte) == c).then_some(byte)
        }
        // The bytes without a printable form of their own, in order.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_stand_ins_are_inverse() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(char_of(byte)), Some(byte), "byte {byte}");
        }
        assert_eq!(char_of(b' '), '\u{120}');
        assert_eq!(byte_of('\u{144}'), None);
        assert_eq!(byte_of('\u{a0}'), None);
    }

    #[test]
    fn merging_takes_the_lowest_rank_and_then_the_leftmost() {
        // "aaa" with "aa" at rank 1: the left pair joins. "b" after it: rank 0 wins over rank 1.
        let (a, b, aa, ab) = (1, 2, 3, 4);
        let merges = HashMap::from([((a, a), (1, aa)), ((a, b), (0, ab))]);
        let run = |symbols: &[u32]| {
            let mut out = Vec::new();
            merge_word(symbols.to_vec(), &merges, &mut out);
            out
        };
        assert_eq!(run(&[a, a, a]), [aa, a]);
        assert_eq!(run(&[a, a, b]), [a, ab]);
        assert_eq!(run(&[]), Vec::<u32>::new());
        assert_eq!(run(&[a, a, a, a]), [aa, aa]);
    }

    #[test]
    fn an_unfinished_character_waits() {
        let bytes = "aé漢".as_bytes();
        assert_eq!(whole_characters(&bytes[..2]), 1);
        assert_eq!(whole_characters(&bytes[..5]), 3);
        assert_eq!(whole_characters(bytes), bytes.len());
        assert_eq!(whole_characters(&[0xff, b'a', 0xe6]), 2);
    }
}
