//! Safetensors files: a JSON header, then the tensors' bytes.
//!
//! Follows the format's README: 8 bytes of header length, little endian; the tensors cover the rest without gap or
//! overlap. Only the header is read here; the `safetensors` crate wants the whole file in memory or mapped.

use std::fmt;
use std::fs::File;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::Deserialize;

use super::input::{cut_short, read_at, unreadable};
use super::tree::Tensors;
use super::{Dtype, Object, TensorEntry};
use crate::error::{Error, Result};

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// Reads the header.
pub(super) fn read(file: &File, length: u64, source: usize) -> Result<(Object, Tensors)> {
    let mut prefix = [0; 8];
    read_at(file, &mut prefix, 0).map_err(unreadable)?;
    let header_length = u64::from_le_bytes(prefix);
    let data = header_length.checked_add(8).filter(|&data| data <= length).ok_or_else(cut_short)?;
    if header_length > MAX_HEADER {
        return Err(damaged("its header is longer than the format allows"));
    }
    let mut json = vec![0; header_length as usize];
    read_at(file, &mut json, 8).map_err(unreadable)?;
    let header: Header = serde_json::from_slice(&json).map_err(|e| damaged(format!("its header: {e}")))?;
    drop(json);

    let mut tensors = Tensors::new();
    let mut objects = Vec::new();
    if !header.metadata.is_empty() {
        let texts = header.metadata.into_iter().map(|(key, value)| (Object::Text(key), Object::Text(value)));
        objects.push((Object::Text(METADATA.into()), Object::Dict(texts.collect())));
    }
    let mut extents = Vec::with_capacity(header.tensors.len());
    for (name, tensor) in header.tensors {
        let entry = tensor.entry(data, source).map_err(|e| e.context(format!("tensor {name:?}")))?;
        extents.push(tensor.data_offsets);
        objects.push((Object::Text(name.clone()), Object::Tensor(name.clone())));
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(damaged(format!("it has the tensor {name:?} twice")));
        }
    }
    extents.sort_unstable();
    let mut end = 0;
    for [from, to] in extents {
        if from != end {
            return Err(damaged("its tensors overlap or leave gaps"));
        }
        end = to;
    }
    match end.cmp(&(length - data)) {
        std::cmp::Ordering::Greater => Err(cut_short()),
        std::cmp::Ordering::Less => Err(damaged("it has bytes that belong to no tensor")),
        std::cmp::Ordering::Equal => Ok((Object::Dict(objects), tensors)),
    }
}

/// The JSON header in its order.
#[derive(Debug, Default)]
struct Header {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, Tensor)>,
}

#[derive(Debug, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Tensor {
    fn entry(&self, data: u64, source: usize) -> Result<TensorEntry> {
        let dtype = match self.dtype.as_str() {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "BF16" => Dtype::Bf16,
            "F64" => Dtype::F64,
            "I64" => Dtype::I64,
            "I32" => Dtype::I32,
            "I16" => Dtype::I16,
            "I8" => Dtype::I8,
            "U8" => Dtype::U8,
            "BOOL" => Dtype::Bool,
            other => {
                return Err(Error::pack(format!(
                    "is of dtype {other:?}; floats of 16 to 64 bits, integers and booleans are read"
                )))
            }
        };
        let wrong = || damaged("its shape does not match its bytes");
        // Row-major strides, from the last axis on; extents of 0 count as 1 so that the strides stay valid.
        let mut strides = vec![1; self.shape.len()];
        let mut values = 1usize;
        for (stride, &extent) in strides.iter_mut().zip(&self.shape).rev() {
            *stride = values;
            values = values.checked_mul(extent.max(1)).ok_or_else(wrong)?;
        }
        let count = if self.shape.contains(&0) { 0 } else { values as u64 };
        let [from, to] = self.data_offsets;
        if count.checked_mul(dtype.size() as u64).is_none()
            || to.checked_sub(from) != count.checked_mul(dtype.size() as u64)
        {
            return Err(wrong());
        }
        let offset = data.checked_add(from).ok_or_else(wrong)?;
        Ok(TensorEntry { shape: self.shape.clone(), dtype, source, offset, strides })
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        if !header.metadata.is_empty() {
                            return Err(M::Error::duplicate_field(METADATA));
                        }
                        let texts: indexmap::IndexMap<String, String> = map.next_value()?;
                        header.metadata = texts.into_iter().collect();
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn damaged(what: impl fmt::Display) -> Error {
    Error::pack(format!("is a damaged safetensors file: {what}; download or copy it again"))
}
