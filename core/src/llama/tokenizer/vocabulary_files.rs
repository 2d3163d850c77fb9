//! The files that a vocabulary is read from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::vocabulary::Vocabulary;
use super::{sentencepiece_model, tokenizer_json};
use crate::error::{Error, Result};

/// Largest file; Llama's are 0.5 and 1.8 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

impl Vocabulary {
    /// Reads `tokenizer.model` of a model directory, or `tokenizer.json` where that is not there.
    ///
    /// # Errors
    /// `not_found` naming both if neither is there; otherwise as [`Vocabulary::from_sentencepiece`] and
    /// [`Vocabulary::from_tokenizer_json`], with the path.
    pub fn open(dir: &Path) -> Result<Self> {
        type Parse = fn(&[u8]) -> Result<Vocabulary>;
        let candidates: [(&str, Parse); 2] =
            [("tokenizer.model", Vocabulary::from_sentencepiece), ("tokenizer.json", Vocabulary::from_tokenizer_json)];
        for (name, parse) in candidates {
            let path = dir.join(name);
            match File::open(&path) {
                Ok(file) => {
                    return contents(file).and_then(|bytes| parse(&bytes)).map_err(|e| e.context(path.display()))
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::pack(format!("cannot open {}: {e}", path.display()))),
            }
        }
        Err(Error::not_found(format!(
            "neither tokenizer.model nor tokenizer.json is in {}; one of them comes with the language model",
            dir.display()
        )))
    }

    /// Parses a SentencePiece `tokenizer.model` (protobuf `ModelProto`).
    ///
    /// # Errors
    /// `pack_invalid` if the bytes are damaged or something else, or if the model is not BPE, or normalises text or
    /// treats spaces in a way that Llama's does not.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self> {
        let vocabulary = sentencepiece_model::parse(bytes)?;
        vocabulary.check()?;
        Ok(vocabulary)
    }

    /// Parses a `tokenizer.json` of the `tokenizers` library that was converted from a SentencePiece BPE model.
    ///
    /// Scores are made from the order of the merges: 0 for the piece that is joined first, -1 for the next.
    ///
    /// # Errors
    /// `pack_invalid` if the bytes are damaged, or hold another kind of tokenizer, which the message names.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self> {
        let vocabulary = tokenizer_json::parse(bytes)?;
        vocabulary.check()?;
        Ok(vocabulary)
    }
}

fn contents(file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::pack(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::pack(format!("is larger than {} MiB, which no tokenizer is", MAX_FILE_BYTES >> 20)));
    }
    Ok(bytes)
}
