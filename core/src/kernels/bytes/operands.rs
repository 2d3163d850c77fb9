//! What the products of bytes read: rows of rounded activations, and panels of weight rows.

use super::lanes::Bytes;
use crate::kernels::blocks::WeightType;
use crate::kernels::lanes::GROUP;

/// The largest rounded magnitude.
const TOP: f32 = 127.0;
/// A magnitude below which a group counts as zero; its scale would be subnormal.
const LEAST: f32 = 1e-30;

/// Activations rounded to 8 bits, [`GROUP`] to a scale, row after row.
#[derive(Debug, Default)]
pub struct Rounded {
    /// `[n, groups, B::WORDS]`.
    pub words: Vec<i32>,
    /// What a value is multiplied with, `[n, groups]`.
    pub scales: Vec<f32>,
}

/// Rounds whole groups.
///
/// # Safety
/// `B`'s instructions are there.
#[inline(always)]
pub unsafe fn round<B: Bytes>(x: &[f32], out: &mut [i32], scales: &mut [f32]) {
    for (x, (out, scale)) in x.chunks_exact(GROUP).zip(out.chunks_exact_mut(B::WORDS).zip(scales)) {
        // Without their sign, floats are ordered as integers are, and NaN is above all.
        let mut lanes = [0u32; 16];
        for x in x.chunks_exact(16) {
            for (most, x) in lanes.iter_mut().zip(x) {
                *most = (*most).max(x.to_bits() & 0x7fff_ffff);
            }
        }
        let most = f32::from_bits(lanes.into_iter().fold(0, u32::max));
        let mut values = [0i8; GROUP];
        *scale = 0.0;
        // Infinity and NaN have no scale: what comes out is NaN, as it would without rounding.
        if most >= LEAST || most.is_nan() {
            let inverse = TOP / most;
            for (value, x) in values.iter_mut().zip(x) {
                // Adding this rounds to the nearest and leaves the integer in the low bits of the mantissa.
                const ROUND: f32 = 12_582_912.0;
                *value = (x * inverse + ROUND).to_bits() as i8;
            }
            *scale = most / TOP;
        }
        // SAFETY: `out` is as many words long.
        B::activations(&values, out.as_mut_ptr());
    }
}

/// Weight rows side by side: a row in each lane.
#[derive(Debug, Default)]
pub struct Panel {
    /// `[groups, B::WORDS, rows]`.
    pub words: Vec<i32>,
    /// `[groups, rows]`.
    pub scales: Vec<f32>,
    /// What takes the activations' offset out of a group's sum, `[groups, rows]`.
    pub starts: Vec<i32>,
}

impl Panel {
    /// Reads the rows of Q8_0 blocks in `bytes`; those missing from `width` are zero.
    ///
    /// # Safety
    /// `B`'s instructions are there.
    #[inline(always)]
    pub unsafe fn fill<B: Bytes>(&mut self, bytes: &[u8], groups: usize, width: usize) {
        const BLOCK: usize = WeightType::Q8_0.block_bytes();
        self.words.resize(groups * B::WORDS * width, 0);
        self.scales.resize(groups * width, 0.0);
        self.starts.resize(groups * width, 0);
        let rows = bytes.len() / (groups * BLOCK);
        if rows < width {
            self.words.fill(0);
            self.scales.fill(0.0);
            self.starts.fill(0);
        }
        if B::OFFSET == 0 {
            // The thread may have multiplied for another instruction set before.
            self.starts.fill(0);
        }
        // What the activation 0 is as words: each word the same.
        let mut line = [0i32; GROUP];
        B::activations(&[0; GROUP], line.as_mut_ptr());
        let zero = B::splat(line.as_ptr().cast());
        let parts = self.words.chunks_exact_mut(B::WORDS * width);
        let parts = parts.zip(self.scales.chunks_exact_mut(width).zip(self.starts.chunks_exact_mut(width)));
        for (group, (out, (scales, starts))) in parts.enumerate() {
            for (row, bytes) in bytes.chunks_exact(groups * BLOCK).take(width).enumerate() {
                let Some(block) = bytes[group * BLOCK..].first_chunk::<BLOCK>() else { continue };
                scales[row] = B::half(u16::from_le_bytes([block[0], block[1]]));
                // SAFETY: a block has 32 bytes after its scale; the last of the words is `row` in the last of `B::WORDS` lines.
                B::weights(block.as_ptr().add(2), out.as_mut_ptr().add(row), width);
            }
            if B::OFFSET != 0 {
                for first in (0..width).step_by(B::N) {
                    let mut sum = B::zero();
                    for line in out.chunks_exact(width) {
                        // SAFETY: a line is `width` long, a multiple of `B::N`, and so are the starts.
                        sum = B::dot(sum, zero, B::load(line.as_ptr().add(first)));
                    }
                    // SAFETY: `Int` is `N` 32-bit integers.
                    starts.as_mut_ptr().add(first).cast::<B::Int>().write_unaligned(sum);
                }
                starts.iter_mut().for_each(|start| *start = -*start);
            }
        }
    }
}
