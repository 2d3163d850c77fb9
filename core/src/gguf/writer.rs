//! Writing of GGUF files, tensor after tensor.
//!
//! Follows the GGUF specification, version 3, little endian. The header holds every tensor's place, so the extents and storage
//! types of all tensors are planned first and the data follows in that order.

use crate::error::{Error, Result};
use crate::kernels::WeightType;

const VERSION: u32 = 3;
/// Tensors begin at multiples of this many bytes.
const ALIGNMENT: usize = 32;

/// The header of a file: metadata, and where each tensor will lie.
#[derive(Debug, Clone, Default)]
pub struct GgufHeader {
    pairs: Vec<u8>,
    pair_count: u64,
    tensors: Vec<PlannedTensor>,
}

/// A tensor that a file will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Its name.
    pub name: String,
    /// Its shape, slowest axis first.
    pub shape: Vec<usize>,
    /// How its values are stored.
    pub kind: WeightType,
    /// Bytes from the start of the tensor data.
    pub offset: usize,
    /// Its length in bytes, without the padding to the next tensor.
    pub bytes: usize,
}

impl PlannedTensor {
    /// Bytes up to where the next tensor begins.
    pub fn padded(&self) -> usize {
        self.bytes.next_multiple_of(ALIGNMENT)
    }
}

impl GgufHeader {
    /// An empty header for a model of `architecture` (`general.architecture`).
    pub fn new(architecture: &str) -> Self {
        let mut header = Self::default();
        header.text("general.architecture", architecture);
        header
    }

    /// Adds a string.
    pub fn text(&mut self, key: &str, value: &str) {
        self.pair(key, 8);
        put_text(&mut self.pairs, value);
    }

    /// Adds an unsigned 32-bit integer.
    ///
    /// # Errors
    /// `invalid_argument` if `value` does not fit.
    pub fn uint(&mut self, key: &str, value: usize) -> Result<()> {
        let value =
            u32::try_from(value).map_err(|_| Error::invalid_argument(format!("{key} is {value}, beyond 32 bits")))?;
        self.pair(key, 4);
        self.pairs.extend(value.to_le_bytes());
        Ok(())
    }

    /// Adds a 32-bit float.
    pub fn float(&mut self, key: &str, value: f32) {
        self.pair(key, 6);
        self.pairs.extend(value.to_le_bytes());
    }

    /// Adds a boolean.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.pair(key, 7);
        self.pairs.push(u8::from(value));
    }

    /// Adds an array of strings.
    pub fn text_array(&mut self, key: &str, values: &[String]) {
        self.array(key, 8, values.len());
        for value in values {
            put_text(&mut self.pairs, value);
        }
    }

    /// Adds an array of 32-bit floats.
    pub fn float_array(&mut self, key: &str, values: &[f32]) {
        self.array(key, 6, values.len());
        self.pairs.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Adds an array of signed 32-bit integers.
    pub fn int_array(&mut self, key: &str, values: &[i32]) {
        self.array(key, 5, values.len());
        self.pairs.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Plans a tensor of `shape`, slowest axis first, after those planned before.
    ///
    /// # Errors
    /// `invalid_argument` if the blocks of `kind` do not divide its rows, or it is too large.
    pub fn tensor(&mut self, name: &str, shape: &[usize], kind: WeightType) -> Result<()> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).try_fold(1usize, |n, &d| n.checked_mul(d));
        let bytes =
            kind.row_bytes(columns).zip(rows).and_then(|(row, rows)| row.checked_mul(rows)).ok_or_else(|| {
                Error::invalid_argument(format!("tensor {name:?} {shape:?} cannot be stored as {kind:?}"))
            })?;
        let offset = self.data_bytes();
        self.tensors.push(PlannedTensor { name: name.to_owned(), shape: shape.to_vec(), kind, offset, bytes });
        Ok(())
    }

    /// The tensors in the order in which their data follows.
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// Bytes of all tensor data, padding included.
    pub fn data_bytes(&self) -> usize {
        self.tensors.last().map_or(0, |last| last.offset + last.padded())
    }

    /// The header as it stands in the file, padded to where the tensor data begins.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"GGUF");
        out.extend(VERSION.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend(self.pair_count.to_le_bytes());
        out.extend(&self.pairs);
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            out.extend(tensor.shape.iter().rev().flat_map(|&extent| (extent as u64).to_le_bytes()));
            out.extend(tensor.kind.ggml_code().to_le_bytes());
            out.extend((tensor.offset as u64).to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }

    fn pair(&mut self, key: &str, kind: u32) {
        put_text(&mut self.pairs, key);
        self.pairs.extend(kind.to_le_bytes());
        self.pair_count += 1;
    }

    fn array(&mut self, key: &str, kind: u32, len: usize) {
        self.pair(key, 9);
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend((len as u64).to_le_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{vector, Gguf, Matrix, Value};
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut header = GgufHeader::new("test");
        header.uint("test.width", 3).unwrap();
        header.float("test.eps", 0.5);
        header.flag("test.flag", true);
        header.text_array("test.words", &["a".into(), "漢".into()]);
        header.float_array("test.scores", &[1.0, -2.0]);
        header.int_array("test.kinds", &[1, -1]);
        header.tensor("m", &[2, 3], WeightType::F32).unwrap();
        header.tensor("v", &[5], WeightType::F16).unwrap();
        let mut bytes = header.encode();
        bytes.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
        bytes.resize(header.encode().len() + header.tensors()[0].padded(), 0);
        bytes.extend([0x00, 0x3c].repeat(5));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        std::fs::write(&path, bytes).unwrap();

        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(gguf.text("general.architecture").unwrap(), Some("test"));
        assert_eq!(gguf.uint("test.width").unwrap(), Some(3));
        assert_eq!(gguf.float("test.eps").unwrap(), Some(0.5));
        assert_eq!(gguf.value("test.flag"), Some(&Value::Int(1)));
        assert_eq!(gguf.text_array("test.words").unwrap(), ["a", "漢"]);
        assert_eq!(gguf.value("test.scores"), Some(&Value::FloatArray(vec![1.0, -2.0])));
        assert_eq!(gguf.value("test.kinds"), Some(&Value::IntArray(vec![1, -1])));
        assert_eq!(vector(&gguf, "m", &[2, 3]).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(vector(&gguf, "v", &[5]).unwrap(), [1.0; 5]);
        assert_eq!(Matrix::open(&gguf, "m", 2, 3).unwrap().rows(), 2);
        assert!(Matrix::open(&gguf, "m", 3, 2).unwrap_err().message.contains("\"m\""));
    }

    #[test]
    fn rows_that_blocks_do_not_divide_are_refused() {
        let error = GgufHeader::new("test").tensor("m", &[2, 48], WeightType::Q8_0).unwrap_err();
        assert_eq!(error.name(), "invalid_argument");
    }
}
