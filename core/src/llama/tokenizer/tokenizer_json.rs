//! `tokenizer.json` of the `tokenizers` library, where it was converted from a SentencePiece BPE model.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::sentencepiece::{byte_of, SPACE};
use super::vocabulary::{kind, Vocabulary, MAX_PIECES, MAX_PIECE_BYTES};
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct TokenizerFile {
    model: Value,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Bpe {
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// Two pieces that join, in either way that the library has written them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Merge::Line(line) => line.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Merge::Pair(left, right) => Some((left, right)),
        }
    }
}

/// Parses the file; the parts are not held against each other yet.
pub fn parse(bytes: &[u8]) -> Result<Vocabulary> {
    let unreadable = |e: serde_json::Error| Error::pack(format!("this is not a tokenizer.json, or it is damaged: {e}"));
    let file: TokenizerFile = serde_json::from_slice(bytes).map_err(unreadable)?;
    let model = type_of(&file.model);
    if model != "BPE" {
        return Err(refused(format!("its model is {model}")));
    }
    check_spaces(&file.normalizer, &file.pre_tokenizer)?;
    let model = Bpe::deserialize(file.model).map_err(unreadable)?;
    if !model.byte_fallback {
        return Err(refused("its BPE model has no byte fallback".to_owned()));
    }
    let affix = |affix: &Option<String>| affix.as_ref().is_some_and(|a| !a.is_empty());
    if affix(&model.continuing_subword_prefix) || affix(&model.end_of_word_suffix) {
        return Err(refused("its BPE model marks the parts of words".to_owned()));
    }
    let pieces = by_id(model.vocab, &file.added_tokens)?;
    let scores = scores(&pieces, &model.merges)?;
    let specials: HashSet<u32> = file.added_tokens.iter().map(|t| t.id).collect();
    let unk = model.unk_token.as_deref().unwrap_or("<unk>");
    let kinds = pieces.iter().zip(&scores).zip(0u32..).map(|((piece, score), id)| match score {
        _ if piece == unk => kind::UNKNOWN,
        _ if specials.contains(&id) => kind::CONTROL,
        _ if byte_of(piece).is_some() => kind::BYTE,
        // No merge makes it, so no text does.
        None if piece.chars().nth(1).is_some() => kind::UNUSED,
        _ => kind::NORMAL,
    });
    let kinds: Vec<i32> = kinds.collect();
    let lowest = scores.iter().flatten().copied().fold(0.0, f32::min);
    let scores = scores.into_iter().map(|s| s.unwrap_or(lowest - 1.0));
    // Unknown text and marks have the score 0 in SentencePiece's own files; it is never used.
    let scores = scores.zip(&kinds).map(|(s, &k)| if (kind::UNKNOWN..=kind::CONTROL).contains(&k) { 0.0 } else { s });
    let scores = scores.collect();
    let id = |name: &str| {
        pieces
            .iter()
            .position(|p| p == name)
            .map(|at| at as u32)
            .ok_or_else(|| Error::pack(format!("the vocabulary has no {name:?}; it is not that of a Llama model")))
    };
    let (bos, eos, unk) = (id("<s>")?, id("</s>")?, id(unk)?);
    Ok(Vocabulary { pieces, scores, kinds, bos, eos, unk })
}

fn refused(what: String) -> Error {
    Error::pack(format!(
        "{what}; only a tokenizer.json converted from a SentencePiece BPE model, as Llama has, is supported"
    ))
}

fn type_of(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("of no stated type")
}

/// Whether spaces become U+2581, one of them in front, and nothing else happens to a text.
fn check_spaces(normalizer: &Value, pre_tokenizer: &Value) -> Result<()> {
    let steps = match normalizer {
        Value::Null => Vec::new(),
        sequence if type_of(sequence) == "Sequence" => {
            sequence.get("normalizers").and_then(Value::as_array).into_iter().flatten().collect()
        }
        step => vec![step],
    };
    let space = SPACE.to_string();
    let is_space = |value: Option<&Value>| value.and_then(Value::as_str) == Some(&space);
    let (mut prefix, mut replaced) = (false, false);
    for step in steps {
        let pattern = step.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str);
        match type_of(step) {
            "Prepend" if is_space(step.get("prepend")) => prefix = true,
            "Replace" if pattern == Some(" ") && is_space(step.get("content")) => replaced = true,
            other => return Err(refused(format!("its normalizer is {other}"))),
        }
    }
    match pre_tokenizer {
        Value::Null => {}
        step if type_of(step) == "Metaspace" && is_space(step.get("replacement")) => {
            replaced = true;
            prefix |= match step.get("prepend_scheme").and_then(Value::as_str) {
                Some(scheme) => scheme != "never",
                None => step.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(true),
            };
        }
        step => return Err(refused(format!("its pre_tokenizer is {}", type_of(step)))),
    }
    if !replaced || !prefix {
        return Err(refused("it does not mark spaces with U+2581, one of them in front of the text".to_owned()));
    }
    Ok(())
}

/// The pieces in the order of their ids, which must have no gaps.
fn by_id(vocab: HashMap<String, u32>, added: &[AddedToken]) -> Result<Vec<String>> {
    let mut all: Vec<(u32, String)> = vocab.iter().map(|(piece, &id)| (id, piece.clone())).collect();
    for token in added {
        if !token.special {
            return Err(Error::pack(format!(
                "the added token {:?} is not special, which is not supported",
                token.content
            )));
        }
        match vocab.get(&token.content) {
            None => all.push((token.id, token.content.clone())),
            Some(&id) if id == token.id => {}
            Some(id) => {
                return Err(Error::pack(format!("token {:?} has the ids {id} and {}", token.content, token.id)))
            }
        }
    }
    all.sort_unstable();
    if all.len() > MAX_PIECES {
        return Err(Error::pack(format!("the vocabulary has {} pieces, more than any model", all.len())));
    }
    if let Some((_, piece)) = all.iter().find(|(_, piece)| piece.len() > MAX_PIECE_BYTES) {
        return Err(Error::pack(format!(
            "a piece has {} bytes, more than any model's; the file is damaged",
            piece.len()
        )));
    }
    match all.iter().zip(0u32..).find(|((id, _), place)| id != place) {
        None => Ok(all.into_iter().map(|(_, piece)| piece).collect()),
        Some(((id, piece), place)) => Err(Error::pack(format!(
            "the vocabulary's ids have gaps or repeat: {piece:?} is {id} where {place} should come; the file is damaged"
        ))),
    }
}

/// The score of each piece that merges make. The order of merges must be one of pieces, as it is where the file was
/// converted from SentencePiece: all ways to make a piece are there and stand together.
fn scores(pieces: &[String], merges: &[Merge]) -> Result<Vec<Option<f32>>> {
    let ids: HashMap<&str, usize> = pieces.iter().map(String::as_str).zip(0..).collect();
    let mut scores = vec![None; pieces.len()];
    let mut ways = vec![0usize; pieces.len()];
    let (mut last, mut order) = (None, 0u32);
    let mut joined = String::new();
    for merge in merges {
        let id = merge.parts().and_then(|(left, right)| {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            let known = ids.contains_key(left) && ids.contains_key(right);
            ids.get(joined.as_str()).copied().filter(|_| known)
        });
        let (Some(id), Some((score, ways))) = (id, id.and_then(|id| scores.get_mut(id).zip(ways.get_mut(id)))) else {
            let shown = merge.parts().map_or_else(|| "(unreadable)".to_owned(), |(l, r)| format!("{l:?} {r:?}"));
            return Err(Error::pack(format!(
                "merge {shown} names pieces that the vocabulary lacks; the file is damaged"
            )));
        };
        if last != Some(id) {
            if score.is_some() {
                return Err(not_by_score(pieces, id));
            }
            *score = Some(-(order as f32));
            order += 1;
            last = Some(id);
        }
        *ways += 1;
    }
    for (id, (piece, &ways)) in pieces.iter().zip(&ways).enumerate().filter(|(_, (_, &ways))| ways > 0) {
        let splits = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        if splits.filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right)).count() != ways {
            return Err(not_by_score(pieces, id));
        }
    }
    Ok(scores)
}

fn not_by_score(pieces: &[String], id: usize) -> Error {
    let piece = pieces.get(id).map_or("", String::as_str);
    refused(format!("the merges that make {piece:?} are not all there or not together"))
}
