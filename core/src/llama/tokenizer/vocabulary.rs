//! The vocabulary of a SentencePiece BPE tokenizer, as LLaMA and Llama 2 are published with.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::gguf::GgufHeader;

/// The types of pieces, with SentencePiece's numbers, which GGUF shares.
pub mod kind {
    /// Text.
    pub const NORMAL: i32 = 1;
    /// What stands for text that nothing else does.
    pub const UNKNOWN: i32 = 2;
    /// A mark such as `<s>`, never made of text.
    pub const CONTROL: i32 = 3;
    /// Text that is always one token.
    pub const USER_DEFINED: i32 = 4;
    /// Not made of text any more.
    pub const UNUSED: i32 = 5;
    /// One byte of a character that is no piece.
    pub const BYTE: i32 = 6;
}

/// Most pieces, far more than any model has.
pub const MAX_PIECES: usize = 1 << 20;
/// Longest piece in bytes; Llama's longest has 48.
pub const MAX_PIECE_BYTES: usize = 256;

/// Pieces by id, with what the GGUF metadata `tokenizer.ggml.*` holds of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The text of each piece, spaces as U+2581 (`tokens`).
    pub pieces: Vec<String>,
    /// The score of each piece: the higher, the earlier it is joined (`scores`).
    pub scores: Vec<f32>,
    /// The type of each piece (`token_type`): 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub kinds: Vec<i32>,
    /// The id that begins a text.
    pub bos: u32,
    /// The id that ends a text.
    pub eos: u32,
    /// The id of unknown text.
    pub unk: u32,
}

impl Vocabulary {
    /// Adds the metadata `tokenizer.ggml.*` of a GGUF file, which [`super::Tokenizer::from_gguf`] reads.
    ///
    /// # Errors
    /// `pack_invalid` if the vocabulary does not hold together.
    pub fn describe(&self, header: &mut GgufHeader) -> Result<()> {
        self.check()?;
        header.text("tokenizer.ggml.model", "llama");
        header.text_array("tokenizer.ggml.tokens", &self.pieces);
        header.float_array("tokenizer.ggml.scores", &self.scores);
        header.int_array("tokenizer.ggml.token_type", &self.kinds);
        header.uint("tokenizer.ggml.bos_token_id", self.bos as usize)?;
        header.uint("tokenizer.ggml.eos_token_id", self.eos as usize)?;
        header.uint("tokenizer.ggml.unknown_token_id", self.unk as usize)?;
        header.flag("tokenizer.ggml.add_space_prefix", true);
        Ok(())
    }

    /// The first piece of type unknown.
    pub(super) fn unknown_of(kinds: &[i32]) -> Result<u32> {
        let at = kinds.iter().position(|&k| k == kind::UNKNOWN);
        at.and_then(|at| u32::try_from(at).ok())
            .ok_or_else(|| Error::pack("the vocabulary has no piece for unknown text (type 2)"))
    }

    /// Whether all parts hold together.
    pub(super) fn check(&self) -> Result<()> {
        let n = self.pieces.len();
        if n == 0 || n > MAX_PIECES {
            return Err(Error::pack(format!("the vocabulary has {n} pieces; 1 to {MAX_PIECES} are supported")));
        }
        if self.scores.len() != n || self.kinds.len() != n {
            return Err(Error::pack(format!(
                "the vocabulary has {n} pieces, but {} scores and {} types",
                self.scores.len(),
                self.kinds.len()
            )));
        }
        for (name, id) in [("begin", self.bos), ("end", self.eos), ("unknown", self.unk)] {
            if id as usize >= n {
                return Err(Error::pack(format!("the {name} token's id is {id}, beyond the vocabulary of {n}")));
            }
        }
        let mut seen = HashSet::with_capacity(n);
        for (id, ((piece, score), kind)) in self.pieces.iter().zip(&self.scores).zip(&self.kinds).enumerate() {
            let fault = match piece.len() {
                _ if !(kind::NORMAL..=kind::BYTE).contains(kind) => Some(format!("is of unknown type {kind}")),
                _ if !score.is_finite() => Some(format!("has the score {score}")),
                _ if !seen.insert(piece.as_str()) => Some(format!("is {piece:?}, as an earlier one")),
                0 => Some("is empty".to_owned()),
                length if length > MAX_PIECE_BYTES => {
                    Some(format!("is {length} bytes long; up to {MAX_PIECE_BYTES} are supported"))
                }
                _ => None,
            };
            if let Some(fault) = fault {
                return Err(Error::pack(format!("piece {id} of the vocabulary {fault}; the file is damaged")));
            }
        }
        Ok(())
    }
}
