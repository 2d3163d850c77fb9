//! Reading of an encoder's extents from its GGUF metadata.
//!
//! Nothing in the file is trusted: extents are bounded here, and every tensor is held against them when it is opened, so what
//! is allocated for weights is bounded by the file's own size.

use std::path::Path;

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};

/// Widest layer and longest side of any encoder that this library runs, several times over.
const MAX_WIDTH: usize = 1 << 16;
/// Most layers.
const MAX_DEPTH: usize = 256;
/// Most tokens of one picture or clip (the largest published one has 1568).
const MAX_TOKENS: usize = 1 << 15;

/// An encoder's file and the prefix of its metadata keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) gguf: &'a Gguf,
    prefix: &'static str,
}

impl<'a> Metadata<'a> {
    /// Checks that the file is for the encoder `prefix`.
    pub(super) fn new(gguf: &'a Gguf, prefix: &'static str) -> Result<Self> {
        let wanted = format!("emotion-llama-{prefix}");
        let found = gguf.text("general.architecture")?.unwrap_or("(none)");
        if found != wanted {
            return Err(Error::pack(format!(
                "{}: the model's architecture is {found:?}, expected {wanted:?}; the pack's files are mixed up",
                gguf.path().display()
            )));
        }
        Ok(Self { gguf, prefix })
    }

    /// The extent `name`, at least 1 and at most `max`.
    fn extent(&self, name: &str, max: usize) -> Result<usize> {
        let key = format!("{}.{name}", self.prefix);
        match self.gguf.uint(&key)? {
            Some(value) if (1..=max).contains(&value) => Ok(value),
            Some(value) => Err(self.damaged(format!("metadata {key:?} is {value}, which is not between 1 and {max}"))),
            None => Err(self.damaged(format!("metadata {key:?} is missing"))),
        }
    }

    /// A width, side, kernel or count.
    pub(super) fn width(&self, name: &str) -> Result<usize> {
        self.extent(name, MAX_WIDTH)
    }

    /// The number of layers.
    pub(super) fn depth(&self) -> Result<usize> {
        self.extent("depth", MAX_DEPTH)
    }

    /// A small positive float.
    pub(super) fn eps(&self, name: &str) -> Result<f32> {
        let key = format!("{}.{name}", self.prefix);
        match self.gguf.float(&key)? {
            Some(value) if value > 0.0 && value < 1.0 => Ok(value as f32),
            Some(value) => Err(self.damaged(format!("metadata {key:?} is {value}, which is not between 0 and 1"))),
            None => Err(self.damaged(format!("metadata {key:?} is missing"))),
        }
    }

    /// A list of extents, each at least 1.
    pub(super) fn widths(&self, name: &str) -> Result<Vec<usize>> {
        let key = format!("{}.{name}", self.prefix);
        let Some(Value::IntArray(values)) = self.gguf.value(&key) else {
            return Err(self.damaged(format!("metadata {key:?} is not an array of integers")));
        };
        let fits = |&value: &i64| usize::try_from(value).ok().filter(|value| (1..=MAX_WIDTH).contains(value));
        values
            .iter()
            .map(|value| fits(value).ok_or_else(|| self.damaged(format!("metadata {key:?} holds {value}"))))
            .collect()
    }

    /// `whole / part`, which must come out even; the names are for the message.
    pub(super) fn divide(&self, (whole_name, whole): (&str, usize), (part_name, part): (&str, usize)) -> Result<usize> {
        if part == 0 || !whole.is_multiple_of(part) {
            return Err(self.damaged(format!("{part_name} {part} does not divide {whole_name} {whole}")));
        }
        Ok(whole / part)
    }

    /// The product of `extents` as a number of tokens.
    pub(super) fn tokens(&self, extents: &[usize]) -> Result<usize> {
        let tokens = extents.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent));
        tokens
            .filter(|tokens| (1..=MAX_TOKENS).contains(tokens))
            .ok_or_else(|| self.damaged(format!("{extents:?} make more tokens than the {MAX_TOKENS} allowed")))
    }

    pub(super) fn damaged(&self, what: String) -> Error {
        Error::pack(format!("{}: {what}; the file is damaged", self.gguf.path().display()))
    }
}

/// `Err` when a value is not finite: damaged weights that no check of extents can find.
pub(crate) fn check_finite(values: &[f32], path: &Path) -> Result<()> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::pack(format!("{}: the encoder's output is not finite; its weights are damaged", path.display())))
}
