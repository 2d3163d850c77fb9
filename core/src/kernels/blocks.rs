//! The storage types of weights and their unpacking to f32.
//!
//! Layouts follow ggml's `block_q4_0`, `block_q4_1`, `block_q8_0`, `block_q4_K` and `block_q6_K` (ggml-common.h).

/// How a tensor's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 32 values: f16 scale, 4-bit values minus 8.
    Q4_0,
    /// 32 values: f16 scale and f16 minimum, 4-bit values.
    Q4_1,
    /// 32 values: f16 scale, 8-bit signed values.
    Q8_0,
    /// 256 values: 8 groups of 32 with 6-bit scales and minima, 4-bit values.
    Q4K,
    /// 256 values: 16 groups of 16 with 8-bit scales, 6-bit values minus 32.
    Q6K,
}

impl WeightType {
    /// The type with ggml's number `code`, if it is supported.
    pub fn from_ggml(code: u32) -> Option<Self> {
        Some(match code {
            0 => WeightType::F32,
            1 => WeightType::F16,
            2 => WeightType::Q4_0,
            3 => WeightType::Q4_1,
            8 => WeightType::Q8_0,
            12 => WeightType::Q4K,
            14 => WeightType::Q6K,
            _ => return None,
        })
    }

    /// Values in a block.
    pub const fn block_len(self) -> usize {
        match self {
            WeightType::F32 | WeightType::F16 => 1,
            WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q8_0 => 32,
            WeightType::Q4K | WeightType::Q6K => 256,
        }
    }

    /// Bytes in a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::F16 => 2,
            WeightType::Q4_0 => 18,
            WeightType::Q4_1 => 20,
            WeightType::Q8_0 => 34,
            WeightType::Q4K => 144,
            WeightType::Q6K => 210,
        }
    }

    /// Bytes of a row of `columns` values; `None` if blocks do not divide it, or it is too large.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        columns.is_multiple_of(self.block_len()).then_some(columns / self.block_len())?.checked_mul(self.block_bytes())
    }
}

/// Whole arrays of `N`, from the front; what is left over is passed over.
#[inline(always)]
pub fn chunks<const N: usize, T>(slice: &[T]) -> impl Iterator<Item = &[T; N]> {
    slice.chunks_exact(N).filter_map(|chunk| chunk.first_chunk())
}

/// An IEEE half as f32. Infinity and NaN come out finite; weights have neither.
#[inline(always)]
pub fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    // The half's exponent read in f32's place is 112 too small; the product also sets subnormals right.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
}

/// Unpacks whole blocks of `kind` to f32: `out.len()` values, or as many as `bytes` has.
#[inline(always)]
pub fn unpack(kind: WeightType, bytes: &[u8], out: &mut [f32]) {
    let blocks = bytes.chunks_exact(kind.block_bytes()).zip(out.chunks_exact_mut(kind.block_len()));
    match kind {
        WeightType::F32 => blocks.for_each(|(b, o)| o[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        WeightType::F16 => blocks.for_each(|(b, o)| o[0] = half([b[0], b[1]])),
        WeightType::Q4_0 => blocks.for_each(|(b, o)| {
            let d = half([b[0], b[1]]);
            nibbles(&b[2..18], d, -8.0 * d, o);
        }),
        WeightType::Q4_1 => {
            blocks.for_each(|(b, o)| nibbles(&b[4..20], half([b[0], b[1]]), half([b[2], b[3]]), o));
        }
        WeightType::Q8_0 => blocks.for_each(|(b, o)| {
            let d = half([b[0], b[1]]);
            for (o, &q) in o.iter_mut().zip(&b[2..34]) {
                *o = f32::from(q as i8) * d;
            }
        }),
        WeightType::Q4K => blocks.for_each(|(b, o)| unpack_q4k(b, o)),
        WeightType::Q6K => blocks.for_each(|(b, o)| unpack_q6k(b, o)),
    }
}

/// Sixteen bytes to 32 values: low halves first.
#[inline(always)]
fn nibbles(packed: &[u8], scale: f32, minimum: f32, out: &mut [f32]) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &q) in low.iter_mut().zip(high).zip(packed) {
        *low = f32::from(q & 15) * scale + minimum;
        *high = f32::from(q >> 4) * scale + minimum;
    }
}

/// Six-bit scale and minimum of one of a Q4_K block's eight groups, from its twelve bytes of them.
#[inline(always)]
pub fn q4k_group(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 63, packed[group + 4] & 63);
    }
    // The upper groups keep their top two bits with the lower ones.
    let mixed = packed[group + 4];
    ((mixed & 15) | (packed[group - 4] >> 6 << 4), (mixed >> 4) | (packed[group] >> 6 << 4))
}

#[inline(always)]
fn unpack_q4k(b: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half([b[0], b[1]]), half([b[2], b[3]]));
    let packed_scales = &b[4..16];
    let quants = &b[16..144];
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = q4k_group(packed_scales, group);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        let shift = 4 * (group % 2);
        for (o, &q) in out.iter_mut().zip(&quants[group / 2 * 32..][..32]) {
            *o = scale * f32::from((q >> shift) & 15) - minimum;
        }
    }
}

#[inline(always)]
fn unpack_q6k(b: &[u8], out: &mut [f32]) {
    let (low, rest) = b.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = half([d[0], d[1]]);
    for (half_index, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&low[64 * half_index..][..64], &high[32 * half_index..][..32]);
        for (quarter, out) in out.chunks_exact_mut(32).enumerate() {
            for (i, o) in out.iter_mut().enumerate() {
                let nibble = (low[32 * (quarter % 2) + i] >> (4 * (quarter / 2))) & 15;
                let top = (high[i] >> (2 * quarter)) & 3;
                let scale = scales[8 * half_index + 2 * quarter + i / 16] as i8;
                *o = d * f32::from(scale) * (f32::from(nibble | (top << 4)) - 32.0);
            }
        }
    }
}
