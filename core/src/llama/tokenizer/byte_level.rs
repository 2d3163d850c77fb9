//! Byte-level BPE from a GGUF file's vocabulary and merges.
//!
//! Words are split as GPT-2 does (`tokenizers` does it), for SmolLM after single digits; merging follows Sennrich et
//! al. 2016, lowest rank first, then leftmost.

use foldhash::{HashMap, HashMapExt};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::merge::{merge, Merges};
use super::{token_id_of, Model, TokenTable, Tokenizer};
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};

const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Merges over bytes.
#[derive(Debug)]
pub struct ByteLevelBpe {
    merges: Merges,
    /// The token of each single byte, if the vocabulary has it.
    byte_ids: Vec<Option<u32>>,
    single_digits: bool,
}

impl ByteLevelBpe {
    /// Adds the ids of `text` to `ids`.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut words = PreTokenizedString::from(text);
        let digits = if self.single_digits { Digits::new(true).pre_tokenize(&mut words) } else { Ok(()) };
        digits
            .and_then(|()| ByteLevel::new(false, true, true).pre_tokenize(&mut words))
            .map_err(|e| Error::invalid_argument(format!("the text cannot be split into words: {e}")))?;
        for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::None) {
            let symbols = word.chars().filter_map(|c| *self.byte_ids.get(usize::from(byte_of(c)?))?);
            merge(symbols.collect(), &self.merges, ids);
        }
        Ok(())
    }
}

/// Reads a tokenizer of model "gpt2".
pub fn read(gguf: &Gguf) -> Result<Tokenizer> {
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
    let mut table = TokenTable::default();
    let mut specials = Vec::new();
    let mut ids = HashMap::with_capacity(tokens.len());
    for ((token, kind), id) in tokens.iter().zip(kinds).zip(0u32..) {
        if (kind == CONTROL || kind == USER_DEFINED) && !token.is_empty() {
            specials.push((token.to_string(), id));
            table.bytes.extend_from_slice(token.as_bytes());
        } else {
            ids.entry(*token).or_insert(id);
            let start = table.bytes.len();
            for c in token.chars() {
                match byte_of(c) {
                    Some(byte) => table.bytes.push(byte),
                    None => {
                        table.bytes.truncate(start);
                        table.bytes.extend_from_slice(token.as_bytes());
                        break;
                    }
                }
            }
        }
        table.end_token()?;
    }
    let merges = read_merges(&gguf.text_array("tokenizer.ggml.merges")?, &ids)?;
    let byte_ids = (0..=255).map(|b| ids.get(char_of(b).encode_utf8(&mut [0; 4]) as &str).copied()).collect();
    let bos = token_id_of(gguf, "tokenizer.ggml.bos_token_id", tokens.len())?;
    let eos = token_id_of(gguf, "tokenizer.ggml.eos_token_id", tokens.len())?;
    let model = Model::ByteLevel(ByteLevelBpe { merges, byte_ids, single_digits });
    Ok(Tokenizer::new(table, specials, model, bos, eos))
}

fn read_merges(lines: &[&str], ids: &HashMap<&str, u32>) -> Result<Merges> {
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
}
