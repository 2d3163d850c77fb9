//! The storage types whose blocks are groups of 32 small integers with a scale and a minimum each: a weight is `scale q + minimum`.

use crate::kernels::blocks::{q4k_group, WeightType};
use crate::kernels::lanes::{Lanes, GROUP};

/// How a block is read.
pub trait Format {
    /// Bytes of a block.
    const BYTES: usize;
    /// Groups of a block.
    const GROUPS: usize;

    /// Group `group` of the block: its integers, scale and minimum.
    ///
    /// # Safety
    /// `block` has `BYTES` bytes, `group` is below `GROUPS`, and `L`'s instructions are there.
    unsafe fn group<L: Lanes>(block: *const u8, group: usize) -> (L::Group, f32, f32);
}

macro_rules! format {
    ($name:ident, $kind:expr, |$lanes:ident, $block:ident, $group:ident| $body:expr) => {
        pub struct $name;
        impl Format for $name {
            const BYTES: usize = $kind.block_bytes();
            const GROUPS: usize = $kind.block_len() / GROUP;
            #[inline(always)]
            unsafe fn group<$lanes: Lanes>($block: *const u8, $group: usize) -> ($lanes::Group, f32, f32) {
                $body
            }
        }
    };
}

/// The half at `from`.
#[inline(always)]
unsafe fn half<L: Lanes>(from: *const u8) -> f32 {
    L::half(u16::from_le_bytes(from.cast::<[u8; 2]>().read_unaligned()))
}

format!(Q4_0, WeightType::Q4_0, |L, block, _group| {
    let scale = half::<L>(block);
    (L::nibbles(block.add(2)), scale, -8.0 * scale)
});
format!(Q4_1, WeightType::Q4_1, |L, block, _group| (
    L::nibbles(block.add(4)),
    half::<L>(block),
    half::<L>(block.add(2))
));
format!(Q8_0, WeightType::Q8_0, |L, block, _group| (L::bytes(block.add(2)), half::<L>(block), 0.0));
format!(Q4K, WeightType::Q4K, |L, block, group| {
    let (scale, minimum) = q4k_group(std::slice::from_raw_parts(block.add(4), 12), group);
    let quants = block.add(16 + group / 2 * GROUP);
    let values = if group.is_multiple_of(2) { L::low_nibbles(quants) } else { L::high_nibbles(quants) };
    (values, half::<L>(block) * f32::from(scale), -half::<L>(block.add(2)) * f32::from(minimum))
});

/// Runs `$body` with `$format` standing for the reader of `$kind`; `$else` for types that are none of these.
macro_rules! with_format {
    ($kind:expr, $format:ident => $body:expr, else $else:expr) => {
        match $kind {
            WeightType::Q4_0 => {
                type $format = format::Q4_0;
                $body
            }
            WeightType::Q4_1 => {
                type $format = format::Q4_1;
                $body
            }
            WeightType::Q8_0 => {
                type $format = format::Q8_0;
                $body
            }
            WeightType::Q4K => {
                type $format = format::Q4K;
                $body
            }
            _ => $else,
        }
    };
}
pub(super) use with_format;

/// Whether `kind` is one of these.
pub fn is_grouped(kind: WeightType) -> bool {
    matches!(kind, WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q8_0 | WeightType::Q4K)
}
