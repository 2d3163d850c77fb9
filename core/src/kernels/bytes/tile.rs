//! Some tokens times a panel of weight rows, whose sums stay in registers.

use super::lanes::Bytes;
use super::operands::Panel;

/// The products of `R` tokens and the `V * N` rows of `panel`: `out[token][row]`, rows of `out` follow each other without a gap.
///
/// # Safety
/// `B`'s instructions are there. Each of `words` points at a token's `groups * B::WORDS` words and each of `scales` at its `groups` scales;
/// `panel` was filled with `groups` groups of `V * N` rows; `out` is `R * V * N` long.
#[inline(always)]
pub unsafe fn multiply<B: Bytes, const R: usize, const V: usize>(
    words: [*const i32; R],
    scales: [*const f32; R],
    groups: usize,
    panel: &Panel,
    out: &mut [f32],
) {
    let rows = V * B::N;
    debug_assert!(panel.scales.len() == groups * rows && out.len() == R * rows);
    let (mut w, mut w_scales, mut starts) = (panel.words.as_ptr(), panel.scales.as_ptr(), panel.starts.as_ptr());
    let mut totals = [[B::zero_float(); V]; R];
    for group in 0..groups {
        let mut start = [B::zero(); V];
        for (v, start) in start.iter_mut().enumerate() {
            *start = B::load(starts.add(v * B::N));
        }
        let mut sums = [start; R];
        for word in 0..B::WORDS {
            let mut weights = [B::zero(); V];
            for (v, weights) in weights.iter_mut().enumerate() {
                *weights = B::load(w.add(word * rows + v * B::N));
            }
            for r in 0..R {
                let x = B::splat(words[r].add(group * B::WORDS + word).cast());
                for v in 0..V {
                    sums[r][v] = B::dot(sums[r][v], x, weights[v]);
                }
            }
        }
        for r in 0..R {
            let x_scale = B::splat_float(*scales[r].add(group));
            for v in 0..V {
                let scale = B::mul(B::load_float(w_scales.add(v * B::N)), x_scale);
                totals[r][v] = B::mul_add(B::to_float(sums[r][v]), scale, totals[r][v]);
            }
        }
        (w, w_scales, starts) = (w.add(B::WORDS * rows), w_scales.add(rows), starts.add(rows));
    }
    for (r, totals) in totals.into_iter().enumerate() {
        for (v, total) in totals.into_iter().enumerate() {
            B::store_float(total, out.as_mut_ptr().add(r * rows + v * B::N));
        }
    }
}
