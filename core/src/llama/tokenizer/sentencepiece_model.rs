//! `tokenizer.model`: the protobuf message `ModelProto` of SentencePiece (sentencepiece_model.proto).
//!
//! Only what the vocabulary needs is read; every length is held against the bytes that are left.

use super::vocabulary::{kind, Vocabulary, MAX_PIECES};
use crate::error::{Error, Result};

/// `TrainerSpec.ModelType`.
const MODEL_TYPES: [&str; 5] = ["none", "unigram", "BPE", "word", "character"];
const BPE: u64 = 2;

/// What the trainer and normaliser sections say; `None` where they say nothing.
#[derive(Default)]
struct Spec {
    model_type: Option<u64>,
    suffix_spaces: Option<u64>,
    bos: Option<u64>,
    eos: Option<u64>,
    charsmap: bool,
    dummy_prefix: Option<u64>,
    extra_spaces: Option<u64>,
    escape_spaces: Option<u64>,
}

/// Parses the file; the parts are not held against each other yet.
pub fn parse(bytes: &[u8]) -> Result<Vocabulary> {
    let (mut pieces, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let mut spec = Spec::default();
    let mut message = Message { bytes };
    while let Some((field, value)) = message.next_field().map_err(not_a_model)? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => {
                let (piece, score, kind) = piece(bytes).map_err(|e| e.context(format!("piece {}", pieces.len())))?;
                if pieces.len() == MAX_PIECES {
                    return Err(Error::pack(format!("there are more than {MAX_PIECES} pieces; the file is damaged")));
                }
                pieces.push(piece);
                scores.push(score);
                kinds.push(kind);
            }
            (2, Value::Bytes(bytes)) => trainer(bytes, &mut spec).map_err(|e| e.context("trainer section"))?,
            (3, Value::Bytes(bytes)) => normalizer(bytes, &mut spec).map_err(|e| e.context("normaliser section"))?,
            (1..=3, _) => return Err(not_a_model(Error::pack(format!("field {field} is not a message")))),
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Err(not_a_model(Error::pack("it has no pieces")));
    }
    spec.check()?;
    let named = |id: Option<u64>, name: &str| {
        let by_name = || pieces.iter().position(|p| p == name).map(|at| at as u32);
        // Ids that are absent in the model are written as -1.
        id.and_then(|id| u32::try_from(id).ok())
            .or_else(by_name)
            .ok_or_else(|| Error::pack(format!("the vocabulary has no {name:?}; it is not that of a Llama model")))
    };
    let (bos, eos, unk) = (named(spec.bos, "<s>")?, named(spec.eos, "</s>")?, Vocabulary::unknown_of(&kinds)?);
    Ok(Vocabulary { pieces, scores, kinds, bos, eos, unk })
}

impl Spec {
    /// Refuses what would give other tokens than encoding does here.
    fn check(&self) -> Result<()> {
        if let Some(other) = self.model_type.filter(|&t| t != BPE) {
            let name = usize::try_from(other).ok().and_then(|t| MODEL_TYPES.get(t)).unwrap_or(&"unknown");
            return Err(Error::pack(format!(
                "it is a SentencePiece model of type {other} ({name}); only BPE (type {BPE}), as Llama has, is supported"
            )));
        }
        let refused = [
            (self.charsmap, "normalises characters"),
            (self.dummy_prefix == Some(0), "puts no space in front of a text"),
            (self.extra_spaces == Some(1), "removes repeated spaces"),
            (self.escape_spaces == Some(0), "leaves spaces as they are"),
            (self.suffix_spaces == Some(1), "puts spaces at the end of words"),
        ];
        match refused.into_iter().find(|(refused, _)| *refused) {
            None => Ok(()),
            Some((_, what)) => {
                Err(Error::pack(format!("it {what}, which Llama's does not and which is not supported")))
            }
        }
    }
}

fn piece(bytes: &[u8]) -> Result<(String, f32, i32)> {
    let (mut text, mut score, mut kind) = (None, 0.0, kind::NORMAL);
    let mut message = Message { bytes };
    while let Some((field, value)) = message.next_field()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => {
                let piece = std::str::from_utf8(bytes).map_err(|_| Error::pack("its text is not UTF-8"))?;
                text = Some(piece.to_owned());
            }
            (2, Value::Fixed32(bits)) => score = f32::from_bits(bits),
            (3, Value::Varint(code)) => {
                kind = i32::try_from(code).map_err(|_| Error::pack(format!("its type is {code}")))?;
            }
            (1..=3, _) => return Err(Error::pack(format!("its field {field} is of a wrong type"))),
            _ => {}
        }
    }
    let text = text.ok_or_else(|| Error::pack("it has no text; the file is damaged"))?;
    Ok((text, score, kind))
}

fn trainer(bytes: &[u8], spec: &mut Spec) -> Result<()> {
    let mut message = Message { bytes };
    while let Some((field, value)) = message.next_field()? {
        match (field, value) {
            (3, Value::Varint(v)) => spec.model_type = Some(v),
            (24, Value::Varint(v)) => spec.suffix_spaces = Some(v),
            (41, Value::Varint(v)) => spec.bos = Some(v),
            (42, Value::Varint(v)) => spec.eos = Some(v),
            _ => {}
        }
    }
    Ok(())
}

fn normalizer(bytes: &[u8], spec: &mut Spec) -> Result<()> {
    let mut message = Message { bytes };
    while let Some((field, value)) = message.next_field()? {
        match (field, value) {
            (2, Value::Bytes(map)) => spec.charsmap = !map.is_empty(),
            (3, Value::Varint(v)) => spec.dummy_prefix = Some(v),
            (4, Value::Varint(v)) => spec.extra_spaces = Some(v),
            (5, Value::Varint(v)) => spec.escape_spaces = Some(v),
            _ => {}
        }
    }
    Ok(())
}

fn not_a_model(error: Error) -> Error {
    error.context("this is not a SentencePiece model, or it is damaged")
}

/// A field's value in protobuf's wire format.
enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

/// What is left of a protobuf message.
struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The next field's number and value, or `None` at the end.
    fn next_field(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let mut bits = [0; 4];
                bits.copy_from_slice(self.take(4)?);
                Value::Fixed32(u32::from_le_bytes(bits))
            }
            other => return Err(Error::pack(format!("wire type {other} is not used in such files"))),
        };
        match tag >> 3 {
            0 => Err(Error::pack("a field has the number 0")),
            field => Ok(Some((field, value))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| {
            Error::pack(format!("{length} bytes are announced where {} are left: it is cut short", self.bytes.len()))
        })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(Error::pack("a number does not end within 10 bytes"))
    }
}
