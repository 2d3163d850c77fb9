//! What a GGUF file of a pack will hold, before any of it is read.

use crate::error::Result;
use crate::gguf::GgufHeader;
use crate::kernels::WeightType;

use super::source::{expect, TensorSource};

/// How weights are stored in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantization {
    /// 32-bit floats: nothing is lost.
    F32,
    /// 16-bit floats.
    #[default]
    F16,
    /// 8-bit blocks of 32.
    Q8_0,
    /// The language model in 4-bit blocks of 256, its embedding and output and the encoders in 8-bit blocks of 32.
    Q4K,
}

impl Quantization {
    /// The quantisation called `name`: `f32`, `f16`, `q8_0` or `q4_k`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "f32" => Quantization::F32,
            "f16" => Quantization::F16,
            "q8_0" => Quantization::Q8_0,
            "q4_k" => Quantization::Q4K,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Quantization::F32 => "f32",
            Quantization::F16 => "f16",
            Quantization::Q8_0 => "q8_0",
            Quantization::Q4K => "q4_k",
        }
    }

    /// For a weight matrix inside the language model. Rows that the blocks do not divide take smaller blocks.
    pub(super) fn language(self, columns: usize) -> WeightType {
        match self {
            Quantization::Q4K if columns.is_multiple_of(256) => WeightType::Q4K,
            Quantization::Q4K if columns.is_multiple_of(32) => WeightType::Q4_1,
            _ => self.careful(columns),
        }
    }

    /// For matrices that lose more by few bits: embedding, output, encoders.
    pub(super) fn careful(self, columns: usize) -> WeightType {
        match self {
            Quantization::F32 => WeightType::F32,
            Quantization::Q8_0 | Quantization::Q4K if columns.is_multiple_of(32) => WeightType::Q8_0,
            _ => WeightType::F16,
        }
    }
}

/// Gives a tensor's values when it is its turn to be written.
pub(super) type Read<'a> = Box<dyn Fn() -> Result<Vec<f32>> + 'a>;

/// A GGUF file: its header, and where each tensor's values come from.
pub(super) struct GgufPlan<'a> {
    pub(super) header: GgufHeader,
    pub(super) reads: Vec<Read<'a>>,
}

impl<'a> GgufPlan<'a> {
    /// An empty file for a model of `architecture`.
    pub(super) fn new(architecture: &str) -> Self {
        Self { header: GgufHeader::new(architecture), reads: Vec::new() }
    }

    /// Adds a tensor whose values `read` gives.
    pub(super) fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: WeightType,
        read: impl Fn() -> Result<Vec<f32>> + 'a,
    ) -> Result<()> {
        self.header.tensor(name, shape, kind)?;
        self.reads.push(Box::new(read));
        Ok(())
    }

    /// Adds the tensor `from` of `source` as it is, under the name `to`, if it has `shape`.
    pub(super) fn copy(
        &mut self,
        source: &'a dyn TensorSource,
        from: &str,
        to: &str,
        shape: &[usize],
        kind: WeightType,
    ) -> Result<()> {
        expect(source, from, shape)?;
        let from = from.to_owned();
        self.add(to, shape, kind, move || source.read(&from))
    }
}
