//! The storage types whose blocks are groups of 32 small integers with a scale and a minimum each: a weight is `scale q + minimum`.

use super::row::Sums;
use crate::kernels::blocks::{q4k_group, WeightType};
use crate::kernels::lanes::{Lanes, GROUP};

/// A rounded token, from some group on; see `Rounded`.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub values: *const i16,
    pub scales: *const f32,
    pub sums: *const f32,
}

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

    /// Adds the products of the block with its part of a token to `sums`. The chain of the first group has the number `chain`.
    ///
    /// # Safety
    /// `block` has `BYTES` bytes, `x` has `GROUPS` groups, and `L`'s instructions are there.
    unsafe fn dot<L: Lanes>(block: *const u8, x: Token, chain: usize, sums: &mut Sums<L>);
}

macro_rules! format {
    (
        $name:ident, $kind:expr, |$lanes:ident, $block:ident, $group:ident| $body:expr,
        |$x:ident, $chain:ident, $sums:ident| $dot:expr
    ) => {
        pub struct $name;
        impl Format for $name {
            const BYTES: usize = $kind.block_bytes();
            const GROUPS: usize = $kind.block_len() / GROUP;
            #[inline(always)]
            unsafe fn group<$lanes: Lanes>($block: *const u8, $group: usize) -> ($lanes::Group, f32, f32) {
                $body
            }
            #[inline(always)]
            unsafe fn dot<$lanes: Lanes>($block: *const u8, $x: Token, $chain: usize, $sums: &mut Sums<$lanes>) {
                $dot
            }
        }
    };
}

/// The half at `from`.
#[inline(always)]
unsafe fn half<L: Lanes>(from: *const u8) -> f32 {
    L::half(u16::from_le_bytes(from.cast::<[u8; 2]>().read_unaligned()))
}

/// The scales and minima of a Q4_K block's eight groups, from its twelve bytes of them.
#[inline(always)]
pub fn q4k_groups(packed: [u8; 12]) -> ([u8; 8], [u8; 8]) {
    // Spelt out: a closure that is not inlined costs more than it does.
    let scales = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    let minima = u32::from_le_bytes([packed[4], packed[5], packed[6], packed[7]]);
    let mixed = u32::from_le_bytes([packed[8], packed[9], packed[10], packed[11]]);
    (join(scales, mixed), join(minima, mixed >> 4))
}

/// Eight values of six bits: the lower four in `low`, of the upper ones four bits in `four` and the top two with the lower ones.
#[inline(always)]
fn join(low: u32, four: u32) -> [u8; 8] {
    let high = (four & 0x0f0f_0f0f) | ((low >> 6 & 0x0303_0303) << 4);
    (u64::from(low & 0x3f3f_3f3f) | u64::from(high) << 32).to_le_bytes()
}

format!(
    Q4_0,
    WeightType::Q4_0,
    |L, block, _group| (L::signed_nibbles(block.add(2)), half::<L>(block), 0.0),
    |x, chain, sums| {
        let scale = L::mul(L::splat_half(block), L::splat_float(*x.scales));
        sums.add(chain, L::signed_nibbles(block.add(2)), x.values, scale);
    }
);
format!(
    Q4_1,
    WeightType::Q4_1,
    |L, block, _group| (L::nibbles(block.add(4)), half::<L>(block), half::<L>(block.add(2))),
    |x, chain, sums| {
        let (scale, minimum) = L::splat_halves(block);
        sums.add(chain, L::nibbles(block.add(4)), x.values, L::mul(scale, L::splat_float(*x.scales)));
        sums.minima = L::mul_add(minimum, L::splat_float(*x.sums), sums.minima);
    }
);
format!(
    Q8_0,
    WeightType::Q8_0,
    |L, block, _group| (L::bytes(block.add(2)), half::<L>(block), 0.0),
    |x, chain, sums| {
        let scale = L::mul(L::splat_half(block), L::splat_float(*x.scales));
        sums.add(chain, L::bytes(block.add(2)), x.values, scale);
    }
);
format!(
    Q4K,
    WeightType::Q4K,
    |L, block, group| {
        let (scale, minimum) = q4k_group(std::slice::from_raw_parts(block.add(4), 12), group);
        let quants = block.add(16 + group / 2 * GROUP);
        let values = if group.is_multiple_of(2) { L::low_nibbles(quants) } else { L::high_nibbles(quants) };
        (values, half::<L>(block) * f32::from(scale), -half::<L>(block.add(2)) * f32::from(minimum))
    },
    |x, chain, sums| {
        let (scale, minimum) = (half::<L>(block), half::<L>(block.add(2)));
        let (scales, minima) = q4k_groups(block.add(4).cast::<[u8; 12]>().read_unaligned());
        // As arithmetic of arrays compilers would take it apart.
        let scale = L::Eight::mul(L::Eight::bytes_to_float(scales), L::Eight::splat_float(scale));
        let minimum = L::Eight::mul(L::Eight::bytes_to_float(minima), L::Eight::splat_float(minimum));
        let mut factors = [0f32; 8];
        L::Eight::store_float(L::Eight::mul(scale, L::Eight::load_float(x.scales)), factors.as_mut_ptr());
        sums.less = L::Eight::mul_add(minimum, L::Eight::load_float(x.sums), sums.less);
        for pair in 0..4 {
            let quants = block.add(16 + pair * GROUP);
            let values = x.values.add(2 * pair * GROUP);
            sums.add(chain + 2 * pair, L::low_nibbles(quants), values, L::splat_float(factors[2 * pair]));
            let values = values.add(GROUP);
            sums.add(chain + 2 * pair + 1, L::high_nibbles(quants), values, L::splat_float(factors[2 * pair + 1]));
        }
    }
);

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
