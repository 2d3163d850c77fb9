//! BPE by scores with byte fallback, as SentencePiece does it for LLaMA and Llama 2.
//!
//! Follows `bpe_model.cc` of SentencePiece: a text is split into characters, and the neighbours whose joined piece has
//! the highest score are joined first, the leftmost among equals. A character that is no piece becomes its UTF-8 bytes'
//! tokens. There is no normalisation but for spaces, which become U+2581, one of which goes in front of the text.

use foldhash::{HashMap, HashMapExt};

use super::merge::{merge, Merges};
use super::vocabulary::{kind, Vocabulary};
use super::{token_id_of, Model, TokenTable, Tokenizer};
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};

/// What stands for a space in a piece.
pub const SPACE: char = '\u{2581}';

/// Pieces and how they join.
#[derive(Debug)]
pub struct SentencePieceBpe {
    pieces: HashMap<String, u32>,
    /// Pieces of one character.
    characters: HashMap<char, u32>,
    bytes: Vec<Option<u32>>,
    /// User-defined pieces by their first character, the longest first. They are never split or joined.
    whole: HashMap<char, Vec<(String, u32)>>,
    merges: Merges,
    unknown: u32,
    prefix: bool,
}

impl SentencePieceBpe {
    /// Adds the ids of `text`, with a space in front of it, to `ids`.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut normal = String::with_capacity(text.len() + text.len() / 2 + SPACE.len_utf8());
        if self.prefix {
            normal.push(SPACE);
        }
        normal.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut symbols = Vec::with_capacity(normal.len());
        let mut rest = normal.as_str();
        while let Some(c) = rest.chars().next() {
            let whole = self.whole.get(&c).and_then(|pieces| pieces.iter().find(|(piece, _)| rest.starts_with(piece)));
            let length = match whole {
                Some((piece, id)) => {
                    symbols.push(*id);
                    piece.len()
                }
                None => {
                    self.push_character(c, &mut symbols);
                    c.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        merge(symbols, &self.merges, ids);
    }

    /// The id of a piece as the vocabulary writes it.
    pub fn piece_id(&self, piece: &str) -> Option<u32> {
        self.pieces.get(piece).copied()
    }

    /// Whether encoding puts a space in front.
    pub fn adds_prefix(&self) -> bool {
        self.prefix
    }

    fn push_character(&self, c: char, symbols: &mut Vec<u32>) {
        if let Some(&id) = self.characters.get(&c) {
            return symbols.push(id);
        }
        let start = symbols.len();
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            match self.bytes.get(usize::from(byte)) {
                Some(Some(id)) => symbols.push(*id),
                _ => {
                    symbols.truncate(start);
                    // One token for a run of unknown characters, as SentencePiece gives.
                    if symbols.last() != Some(&self.unknown) {
                        symbols.push(self.unknown);
                    }
                    return;
                }
            }
        }
    }
}

/// Reads a tokenizer of model "llama".
pub fn read(gguf: &Gguf) -> Result<Tokenizer> {
    let pieces: Vec<String> = gguf.text_array("tokenizer.ggml.tokens")?.into_iter().map(str::to_owned).collect();
    let n = pieces.len();
    let wrong = |key: &str, what: &str| {
        Error::pack(format!("metadata {key:?} is not {what} for each of {n} tokens; the file is damaged"))
    };
    let key = "tokenizer.ggml.scores";
    let scores = match gguf.value(key) {
        Some(Value::FloatArray(scores)) if scores.len() == n => scores.iter().map(|&s| s as f32).collect(),
        _ => return Err(wrong(key, "a score")),
    };
    let key = "tokenizer.ggml.token_type";
    let kinds = match gguf.value(key) {
        Some(Value::IntArray(kinds)) if kinds.len() == n => kinds
            .iter()
            .map(|&k| i32::try_from(k))
            .collect::<Result<Vec<i32>, _>>()
            .map_err(|_| wrong(key, "a type"))?,
        _ => return Err(wrong(key, "a type")),
    };
    let id = |key: &str| {
        token_id_of(gguf, key, n)?
            .ok_or_else(|| Error::pack(format!("metadata {key:?} is missing; the tokenizer needs it")))
    };
    let (bos, eos) = (id("tokenizer.ggml.bos_token_id")?, id("tokenizer.ggml.eos_token_id")?);
    let unk = match token_id_of(gguf, "tokenizer.ggml.unknown_token_id", n)? {
        Some(unk) => unk,
        None => Vocabulary::unknown_of(&kinds)?,
    };
    let prefix = match gguf.value("tokenizer.ggml.add_space_prefix") {
        None | Some(Value::Int(1)) => true,
        Some(Value::Int(0)) => false,
        Some(_) => return Err(Error::pack("metadata \"tokenizer.ggml.add_space_prefix\" is not true or false")),
    };
    tokenizer(&Vocabulary { pieces, scores, kinds, bos, eos, unk }, prefix)
}

/// The tokenizer of `vocabulary`; with `prefix`, a space goes in front of each text.
pub fn tokenizer(vocabulary: &Vocabulary, prefix: bool) -> Result<Tokenizer> {
    vocabulary.check()?;
    let mut table = TokenTable::default();
    let mut specials = Vec::new();
    let mut model = SentencePieceBpe {
        pieces: HashMap::with_capacity(vocabulary.pieces.len()),
        characters: HashMap::new(),
        bytes: vec![None; 256],
        whole: HashMap::new(),
        merges: joins(vocabulary),
        unknown: vocabulary.unk,
        prefix,
    };
    for ((piece, &of), id) in vocabulary.pieces.iter().zip(&vocabulary.kinds).zip(0u32..) {
        let mut characters = piece.chars();
        let first = characters.next();
        match (of, first) {
            (kind::BYTE, _) => {
                let byte = byte_of(piece).ok_or_else(|| {
                    Error::pack(format!("token {id}, {piece:?}, is marked as a byte; those look like \"<0x0A>\""))
                })?;
                if let Some(slot) = model.bytes.get_mut(usize::from(byte)) {
                    *slot = Some(id);
                }
                table.bytes.push(byte);
            }
            (kind::UNKNOWN | kind::CONTROL, Some(_)) => {
                specials.push((piece.clone(), id));
                table.bytes.extend_from_slice(piece.as_bytes());
            }
            (of, first) => {
                table.bytes.extend_from_slice(piece.replace(SPACE, " ").as_bytes());
                if let (kind::NORMAL, Some(c), None) = (of, first, characters.next()) {
                    model.characters.insert(c, id);
                }
                if let (kind::USER_DEFINED, Some(c)) = (of, first) {
                    model.whole.entry(c).or_default().push((piece.clone(), id));
                }
            }
        }
        table.end_token()?;
        model.pieces.insert(piece.clone(), id);
    }
    for pieces in model.whole.values_mut() {
        pieces.sort_by_key(|(piece, id)| (std::cmp::Reverse(piece.len()), *id));
    }
    let (bos, eos) = (Some(vocabulary.bos), Some(vocabulary.eos));
    Ok(Tokenizer::new(table, specials, Model::SentencePiece(model), bos, eos))
}

/// All pairs of pieces whose joined text is a piece, ranked by that piece's score; pieces of equal score rank equally,
/// so that the leftmost of them is joined first.
fn joins(vocabulary: &Vocabulary) -> Merges {
    let normal = || {
        let all = vocabulary.pieces.iter().zip(&vocabulary.scores).zip(&vocabulary.kinds).zip(0u32..);
        all.filter(|((_, &of), _)| of == kind::NORMAL).map(|(((piece, &score), _), id)| (piece, score, id))
    };
    let ids: HashMap<&str, u32> = normal().map(|(piece, _, id)| (piece.as_str(), id)).collect();
    let mut scores: Vec<f32> = normal().map(|(_, score, _)| score).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut merges = HashMap::with_capacity(2 * ids.len());
    for (piece, score, joined) in normal() {
        let rank = scores.partition_point(|&s| s > score) as u32;
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                merges.insert((left, right), (rank, joined));
            }
        }
    }
    merges
}

/// The byte that a piece like `<0x0A>` stands for.
pub fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok())?
}
