//! NumPy's `.npy` files: one vector of features that was extracted beforehand.
//!
//! Format: numpy `lib/format.py`, versions 1.0, 2.0 and 3.0. Only little-endian floats are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::f16;

use crate::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header that is read, in bytes. numpy writes 118 for a plain array.
const MAX_HEADER: usize = 1 << 16;
/// Most dimensions of an array (numpy's own limit).
const MAX_DIMENSIONS: usize = 64;

/// Reads the `width` values of the array in `path`: `[width]`, `[1, width]` or any shape of as many values, in f16, f32 or f64.
///
/// # Errors
/// `not_found` when there is no such file; `invalid_argument`, with the path, when it is no such array: what is there and what is
/// wanted is named.
pub fn read(path: &Path, width: usize) -> Result<Vec<f32>> {
    let attempt = || -> Result<Vec<f32>> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found("no such file"),
            _ => Error::invalid_argument(format!("cannot be read: {error}")),
        })?;
        // No array that is accepted is longer, so a huge file costs nothing.
        let most = MAX_HEADER.saturating_add(64).saturating_add(width.saturating_mul(8));
        let mut bytes = Vec::new();
        file.take(most as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::invalid_argument(format!("cannot be read: {error}")))?;
        parse(&bytes, width)
    };
    attempt().map_err(|error| error.context(path.display()))
}

/// The `width` values of the array that `bytes` hold, as [`read`].
///
/// # Errors
/// `invalid_argument`, see [`read`].
pub fn parse(bytes: &[u8], width: usize) -> Result<Vec<f32>> {
    let damaged = |what: &str| Error::invalid_argument(format!("is not a usable .npy file: {what}"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin as one"))?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(|| damaged("it ends in its header"))?;
    let cut = || damaged("it ends in its header");
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(n, rest)| (u32::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(n, rest)| (u32::from_le_bytes(*n), rest)),
        other => return Err(damaged(&format!("format version {other} is not known"))),
    }
    .ok_or_else(cut)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= MAX_HEADER);
    let length = length.ok_or_else(|| damaged("its header is too long"))?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged("its header is not text"))?;
    let header = Header::parse(header).ok_or_else(|| damaged("its header is not a dictionary of an array"))?;
    let kind = header.check(width)?;
    let size = kind.size();
    let values = data
        .get(..width.saturating_mul(size))
        .ok_or_else(|| damaged(&format!("it ends early, after {} of {width} values", data.len() / size)))?;
    let values: Vec<f32> = values.chunks_exact(size).map(|bytes| kind.value(bytes)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::invalid_argument(format!(
            "value {at} is {}; features must be finite numbers, extract them again",
            values[at]
        ))),
        None => Ok(values),
    }
}

/// How one value is stored.
#[derive(Debug, Clone, Copy)]
enum Kind {
    F16,
    F32,
    F64,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::F16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    /// The value of [`Kind::size`] bytes.
    fn value(self, bytes: &[u8]) -> f32 {
        let value = match self {
            Kind::F16 => bytes.try_into().map(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Kind::F32 => bytes.try_into().map(f32::from_le_bytes),
            Kind::F64 => bytes.try_into().map(|bytes| f64::from_le_bytes(bytes) as f32),
        };
        value.unwrap_or(f32::NAN)
    }
}

/// What the header says.
#[derive(Debug, Default, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads a header like `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1024), }`.
    fn parse(text: &str) -> Option<Self> {
        let mut literal = Literal(text);
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        literal.take('{')?;
        while literal.take('}').is_none() {
            let key = literal.string()?;
            literal.take(':')?;
            match key {
                "descr" => descr = Some(literal.string()?.to_owned()),
                "fortran_order" => fortran_order = Some(literal.boolean()?),
                "shape" => shape = Some(literal.numbers()?),
                _ => return None,
            }
            if literal.take(',').is_none() {
                literal.take('}')?;
                break;
            }
        }
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }

    /// How the values are stored, if they are `width` floats in the order of C.
    fn check(&self, width: usize) -> Result<Kind> {
        let kind = match self.descr.as_str() {
            "<f2" => Kind::F16,
            "<f4" => Kind::F32,
            "<f8" => Kind::F64,
            other => {
                return Err(Error::invalid_argument(format!(
                    "holds values of type {other:?}; save them as little-endian float32"
                )))
            }
        };
        let count = self.shape.iter().try_fold(1u64, |count, &length| count.checked_mul(length));
        let wanted = width as u64;
        if count != Some(wanted) {
            let rows = count.filter(|count| self.shape.last() == Some(&wanted) && *count > wanted);
            return Err(Error::invalid_argument(match (rows, count) {
                (Some(count), _) => format!(
                    "has {} rows of {width} values, one vector for the whole clip is wanted; average them over time first",
                    count / wanted.max(1)
                ),
                (None, Some(count)) => format!("has {count} values, the projector wants {width}"),
                (None, None) => format!("claims the impossible shape {:?}, the projector wants {width} values", self.shape),
            }));
        }
        // The order matters only where more than one side is longer than 1.
        if self.fortran_order && self.shape.iter().filter(|&&length| length > 1).count() > 1 {
            return Err(Error::invalid_argument("is stored in the order of Fortran; save it in the order of C"));
        }
        Ok(kind)
    }
}

/// A Python literal that is read from its start.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn take(&mut self, symbol: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(symbol)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
        let (value, rest) = text.get(1..)?.split_once(quote)?;
        self.0 = rest;
        Some(value)
    }

    fn boolean(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        let (value, rest) = match text.strip_prefix("True") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("False")?),
        };
        self.0 = rest;
        Some(value)
    }

    /// A tuple of whole numbers.
    fn numbers(&mut self) -> Option<Vec<u64>> {
        self.take('(')?;
        let mut numbers = Vec::new();
        while self.take(')').is_none() {
            let text = self.0.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (digits, rest) = text.split_at(end);
            numbers.push(digits.parse().ok()?);
            if numbers.len() > MAX_DIMENSIONS {
                return None;
            }
            // Python 2 wrote `1024L`.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if self.take(',').is_none() {
                self.take(')')?;
                break;
            }
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}          \n")
    }

    const VALUES: [f32; 4] = [0.5, -1.25, 0.0, 1024.0];

    fn singles() -> Vec<u8> {
        VALUES.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn every_version_type_and_shape_gives_the_values() {
        let halves: Vec<u8> = VALUES.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let doubles: Vec<u8> = VALUES.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
        for version in 1..=3 {
            for (descr, data) in [("<f2", &halves), ("<f4", &singles()), ("<f8", &doubles)] {
                for shape in ["(4,)", "(1, 4)", "(4, 1)", "(2, 2)", "(1L, 4L)", "(1,4)"] {
                    let bytes = npy(version, &header(descr, "False", shape), data);
                    assert_eq!(parse(&bytes, 4).unwrap(), VALUES, "{version} {descr} {shape}");
                }
            }
        }
        assert_eq!(parse(&npy(1, &header("<f4", "True", "(1, 4)"), &singles()), 4).unwrap(), VALUES);
        let double_quotes = "{\"shape\":(4,),\"fortran_order\":False,\"descr\":\"<f4\"}";
        assert_eq!(parse(&npy(1, double_quotes, &singles()), 4).unwrap(), VALUES);
        let scalar = npy(1, &header("<f4", "False", "()"), &singles());
        assert_eq!(parse(&scalar, 1).unwrap(), VALUES[..1]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let with = |descr: &str, fortran: &str, shape: &str| npy(1, &header(descr, fortran, shape), &singles());
        let mut not_finite = singles();
        not_finite[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        let plain = with("<f4", "False", "(4,)");
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (with("<f4", "False", "(768,)"), "has 768 values, the projector wants 4"),
            (with("<f4", "False", "(38, 4)"), "has 38 rows of 4 values"),
            (with("<f4", "False", "(2, 3, 4)"), "average them over time"),
            (with("<f4", "False", "(0, 4)"), "has 0 values"),
            (with("<f4", "True", "(2, 2)"), "order of Fortran"),
            (with(">f4", "False", "(4,)"), "\">f4\""),
            (with("<i8", "False", "(4,)"), "\"<i8\""),
            (with("|O", "False", "(4,)"), "\"|O\""),
            (with("<f4", "False", "(4294967296, 4294967296)"), "impossible shape"),
            (with("<f8", "False", "(4,)"), "after 2 of 4 values"),
            (with("<f4", "Maybe", "(4,)"), "header"),
            (with("<f4", "False", "4"), "header"),
            (with("<f4", "False", "(99999999999999999999,)"), "header"),
            (npy(1, &header("<f4", "False", "(4,)"), &not_finite), "value 2 is NaN"),
            (npy(9, &header("<f4", "False", "(4,)"), &singles()), "version 9"),
            (npy(2, &" ".repeat(MAX_HEADER + 1), &[]), "too long"),
            (npy(1, "{'descr': '<f4'}", &singles()), "header"),
            (npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}", &singles()), "header"),
            (plain[..9].to_vec(), "ends in its header"),
            (plain[..40].to_vec(), "ends in its header"),
            (b"PK\x03\x04".to_vec(), "does not begin as one"),
            (Vec::new(), "does not begin as one"),
        ];
        for (bytes, expected) in cases {
            let error = parse(&bytes, 4).unwrap_err();
            assert_eq!(error.name(), "invalid_argument");
            assert!(error.message.contains(expected), "{}: wanted {expected:?}", error.message);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.npy");
        let error = read(&path, 4).unwrap_err();
        assert_eq!(error.name(), "not_found");
        assert!(error.message.contains("clip.npy"), "{error}");
        std::fs::write(&path, npy(1, &header("<f4", "False", "(768,)"), &[0; 768 * 4])).unwrap();
        let error = read(&path, 1024).unwrap_err();
        assert!(error.message.contains("clip.npy: has 768 values, the projector wants 1024"), "{error}");
        assert_eq!(read(&path, 768).unwrap(), [0.0; 768]);
        assert_eq!(read(dir.path(), 4).unwrap_err().name(), "invalid_argument");
    }

    proptest! {
        #[test]
        fn any_bytes_are_values_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), width in 0usize..20) {
            if let Ok(values) = parse(&bytes, width) {
                prop_assert_eq!(values.len(), width);
            }
        }

        #[test]
        fn any_header_is_values_or_an_error(text in "[{}()',:a-z0-9<FT L]{0,80}", version in 1u8..4, width in 0usize..20) {
            if let Ok(values) = parse(&npy(version, &text, &[0; 64]), width) {
                prop_assert_eq!(values.len(), width);
            }
        }

        #[test]
        fn a_changed_byte_is_values_or_an_error(at in 0usize..200, byte: u8) {
            let mut bytes = npy(1, &header("<f4", "False", "(4,)"), &singles());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(values) = parse(&bytes, 4) {
                prop_assert!(values.len() == 4 && values.iter().all(|value| value.is_finite()));
            }
        }
    }
}
