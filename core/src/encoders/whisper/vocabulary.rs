//! `speech_tokenizer.json`: token ids -> text.
//!
//! Recognition only ever turns ids into text, so the merges of the byte-level BPE tokenizer are not read.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

#[derive(Deserialize)]
struct TokenizerFile {
    model: Model,
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Model {
    vocab: foldhash::HashMap<String, u32>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// The text of each token, and the control tokens.
pub(super) struct Vocabulary {
    /// Bytes of each text token; none for a control token.
    bytes: Vec<Option<Box<[u8]>>>,
    pub end_of_text: u32,
    pub start_of_transcript: u32,
    pub no_timestamps: u32,
    pub no_speech: u32,
}

impl Vocabulary {
    /// Reads the tokenizer of a model with `size` tokens.
    pub fn open(path: &Path, size: usize) -> Result<Self> {
        let fault =
            |what: String| Error::pack(format!("speech tokenizer {}: {what}; fetch the pack again", path.display()));
        let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        let file: TokenizerFile = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
        let byte_of = byte_of_char();
        let mut bytes = vec![None; size];
        for (piece, id) in file.model.vocab {
            let decoded: Option<Box<[u8]>> = piece.chars().map(|c| *byte_of.get(c as usize)?).collect();
            let slot = bytes.get_mut(id as usize).ok_or_else(|| fault(format!("token {id} is beyond {size}")))?;
            *slot = Some(decoded.ok_or_else(|| fault(format!("token {id} ({piece:?}) is not byte-level text")))?);
        }
        let mut control = HashMap::new();
        for token in file.added_tokens {
            if let Some(slot) = bytes.get_mut(token.id as usize) {
                *slot = None;
            }
            control.insert(token.content, token.id);
        }
        let id = |name: &str| match control.get(name) {
            Some(&id) if (id as usize) < size => Ok(id),
            _ => Err(fault(format!("control token {name} is missing"))),
        };
        Ok(Self {
            end_of_text: id("<|endoftext|>")?,
            start_of_transcript: id("<|startoftranscript|>")?,
            no_timestamps: id("<|notimestamps|>")?,
            no_speech: id("<|nocaptions|>").or_else(|_| id("<|nospeech|>"))?,
            bytes,
        })
    }

    /// Whether a token is text, not control.
    pub fn is_text(&self, token: u32) -> bool {
        matches!(self.bytes.get(token as usize), Some(Some(_)))
    }

    /// The text of tokens. Control tokens give nothing; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let pieces = tokens.iter().filter_map(|&token| self.bytes.get(token as usize)?.as_deref());
        let bytes: Vec<u8> = pieces.flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The byte that each character stands for in GPT-2's files, by code: printable Latin-1 for itself, those from U+0100 on for the rest.
fn byte_of_char() -> Vec<Option<u8>> {
    let mut bytes = vec![None; 0x100];
    for byte in 0..=u8::MAX {
        match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => bytes[usize::from(byte)] = Some(byte),
            _ => bytes.push(Some(byte)),
        }
    }
    bytes
}
