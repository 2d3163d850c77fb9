//! A tensor's values, from the file to `f32`.

use std::fs::File;

use half::{bf16, f16};

use super::input::{read_at, unreadable};
use super::tree::span;
use super::{Dtype, TensorEntry};
use crate::error::{Error, ErrorKind, Result};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// All values of `entry`, row-major.
pub(super) fn read(file: &File, entry: &TensorEntry) -> Result<Vec<f32>> {
    let overflow = || Error::pack("has more values than fit in memory");
    let count = entry.shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent)).ok_or_else(overflow)?;
    let mut values = allocate(count)?;
    if count == 0 {
        return Ok(values);
    }
    if is_row_major(entry) {
        convert(file, entry, count, &mut values)?;
        return Ok(values);
    }
    let span = span(&entry.shape, &entry.strides).and_then(|span| usize::try_from(span).ok()).ok_or_else(overflow)?;
    let mut stored = allocate(span)?;
    convert(file, entry, span, &mut stored)?;
    gather(entry, &stored, &mut values);
    Ok(values)
}

fn allocate(count: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let failed = |_| Error::new(ErrorKind::OutOfMemory, format!("no memory for {count} values"));
    values.try_reserve_exact(count).map_err(failed)?;
    Ok(values)
}

fn is_row_major(entry: &TensorEntry) -> bool {
    let mut expected = 1usize;
    entry.shape.iter().zip(&entry.strides).rev().all(|(&extent, &stride)| {
        let fits = extent == 1 || stride == expected;
        expected = expected.saturating_mul(extent);
        fits
    })
}

/// Appends `count` values from the tensor's first on, as they lie.
fn convert(file: &File, entry: &TensorEntry, count: usize, out: &mut Vec<f32>) -> Result<()> {
    let size = entry.dtype.size();
    let mut offset = entry.offset;
    let mut left = count;
    let mut buffer = vec![0; CHUNK.min(count.saturating_mul(size))];
    while left > 0 {
        let values = left.min(buffer.len() / size);
        let bytes = &mut buffer[..values * size];
        read_at(file, bytes, offset).map_err(unreadable)?;
        match entry.dtype {
            Dtype::F32 => extend(out, bytes, f32::from_le_bytes),
            Dtype::F16 => extend(out, bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => extend(out, bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => extend(out, bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::I64 => extend(out, bytes, |b| i64::from_le_bytes(b) as f32),
            Dtype::I32 => extend(out, bytes, |b| i32::from_le_bytes(b) as f32),
            Dtype::I16 => extend(out, bytes, |b| i16::from_le_bytes(b).into()),
            Dtype::I8 => extend(out, bytes, |b| i8::from_le_bytes(b).into()),
            Dtype::U8 => extend(out, bytes, |[b]: [u8; 1]| b.into()),
            Dtype::Bool => extend(out, bytes, |[b]: [u8; 1]| f32::from(b != 0)),
        }
        left -= values;
        offset += (values * size) as u64;
    }
    Ok(())
}

fn extend<const N: usize>(out: &mut Vec<f32>, bytes: &[u8], value: impl Fn([u8; N]) -> f32) {
    out.extend(bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)));
}

/// Row-major order out of any strides; `stored` covers the tensor's span.
fn gather(entry: &TensorEntry, stored: &[f32], out: &mut Vec<f32>) {
    let mut index = vec![0usize; entry.shape.len()];
    let mut at = 0usize;
    loop {
        out.push(stored.get(at).copied().unwrap_or_default());
        let mut axis = entry.shape.len();
        loop {
            let Some(next) = axis.checked_sub(1) else {
                return;
            };
            axis = next;
            index[axis] += 1;
            if index[axis] < entry.shape[axis] {
                at += entry.strides[axis];
                break;
            }
            at -= (entry.shape[axis] - 1) * entry.strides[axis];
            index[axis] = 0;
        }
    }
}
