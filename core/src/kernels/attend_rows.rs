//! Attention of a few rows, each with keys and values of its own, of which every one is read once.

use super::crew::for_each;
use super::lanes::Lanes;
use super::output::Output;
use super::rowwise::softmax_body;
use super::Isa;

/// Keys that are multiplied with a query at a time, so that their sums need not wait for each other.
const KEYS_AT_ONCE: usize = 4;
/// Vectors of columns of the values that are summed at a time, likewise.
const COLUMNS_AT_ONCE: usize = 8;
/// Products of one row below which a second thread takes longer to come than to help.
const SHARED: usize = 1 << 17;

/// The extents that attention needs.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// Keys and values of one stretch of tokens, each `[tokens, kv_heads * head_dim]`.
pub type KeysValues<'a> = (&'a [f32], &'a [f32]);

/// Attention of one row: queries `q` `[heads * head_dim]` over the shared prefix's keys and values and then its own
/// sequence's, into `out` like `q`. `weights` is scratch.
pub fn attend_row(
    isa: Isa,
    shape: AttentionShape,
    q: &[f32],
    stretches: [KeysValues<'_>; 2],
    weights: &mut Vec<f32>,
    out: &mut [f32],
) {
    let keys = (stretches[0].0.len() + stretches[1].0.len()) / (shape.kv_heads * shape.head_dim);
    weights.resize(shape.kv_heads * keys, 0.0);
    attend_rows(isa, shape, q, |_| stretches, weights, out);
}

/// [`attend_row`] of each row of queries `q` `[n, heads * head_dim]`, with the keys and values that `stretches` gives for its number.
/// `weights` is scratch, `[n, kv_heads, keys]` for the most keys that a row has.
///
/// # Panics
/// When a slice is shorter than the sizes say; callers size them from the same numbers.
pub fn attend_rows<'a>(
    isa: Isa,
    shape: AttentionShape,
    q: &[f32],
    stretches: impl Fn(usize) -> [KeysValues<'a>; 2] + Sync,
    weights: &mut [f32],
    out: &mut [f32],
) {
    let AttentionShape { heads, kv_heads, head_dim } = shape;
    let (width, group) = (heads * head_dim, heads / kv_heads * head_dim);
    let n = q.len() / width.max(1);
    assert!(q.len() == n * width && out.len() == q.len(), "attention sizes");
    let run: unsafe fn(Head<'_>, &mut [f32], &mut [f32]) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => attend_avx512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => attend_avx2,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => attend::<super::lanes::Neon, true>,
        Isa::Portable => attend::<super::lanes::Portable, false>,
    };
    let room = weights.len() / (n * kv_heads).max(1);
    let (weights, out) = (Output::new(weights), Output::new(out));
    let task = |number: usize| {
        let (row, head) = (number / kv_heads, number % kv_heads);
        let head = Head {
            q: &q[row * width + head * group..][..group],
            stretches: stretches(row),
            column: head * head_dim,
            width: kv_heads * head_dim,
            head_dim,
        };
        let keys = head.keys();
        assert!(keys <= room, "attention sizes");
        // SAFETY: no two calls have the same number, so the parts do not overlap; `run` was chosen for features that `Isa::detect` found.
        unsafe { run(head, weights.part(number * room, keys), out.part(number * group, group)) };
    };
    if n == 1 && room * width < SHARED {
        (0..kv_heads).for_each(task);
    } else {
        for_each(n * kv_heads, task);
    }
}

/// A row's queries that share a head of keys and values.
struct Head<'a> {
    /// `[group, head_dim]`.
    q: &'a [f32],
    stretches: [KeysValues<'a>; 2],
    /// The head's first column in keys and values, which have `width`.
    column: usize,
    width: usize,
    head_dim: usize,
}

impl Head<'_> {
    fn keys(&self) -> usize {
        let [first, second] = self.stretches.map(|(keys, values)| {
            assert!(keys.len() == values.len() && keys.len() % self.width == 0, "attention sizes");
            keys.len() / self.width
        });
        first + second
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn attend_avx512(head: Head<'_>, weights: &mut [f32], out: &mut [f32]) {
    attend::<super::lanes::Avx512, true>(head, weights, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn attend_avx2(head: Head<'_>, weights: &mut [f32], out: &mut [f32]) {
    attend::<super::lanes::Avx2, true>(head, weights, out);
}

/// # Safety
/// `L`'s instructions are there. `weights` is as long as there are keys; `out` is as long as the queries.
#[inline(always)]
unsafe fn attend<L: Lanes, const FMA: bool>(head: Head<'_>, weights: &mut [f32], out: &mut [f32]) {
    let Head { q, stretches, column, width, head_dim } = head;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for (q, out) in q.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)) {
        let mut at = 0;
        // Loops, not closures: a closure that is not inlined loses the features that this is compiled for.
        for (keys, _) in stretches {
            let count = keys.len() / width;
            // Wrapping: a stretch without tokens has no such column.
            score::<L>(q, keys.as_ptr().wrapping_add(column), width, scale, &mut weights[at..at + count]);
            at += count;
        }
        softmax_body::<FMA>(weights, at.max(1));
        let mut done = 0;
        while done + COLUMNS_AT_ONCE * L::N <= head_dim {
            sum::<L, COLUMNS_AT_ONCE>(weights, stretches, column + done, width, out.as_mut_ptr().add(done));
            done += COLUMNS_AT_ONCE * L::N;
        }
        while done + 2 * L::N <= head_dim {
            sum::<L, 2>(weights, stretches, column + done, width, out.as_mut_ptr().add(done));
            done += 2 * L::N;
        }
        for (out, column) in out[done..].iter_mut().zip(column + done..) {
            let mut at = 0;
            *out = 0.0;
            for (_, values) in stretches {
                for values in values.chunks_exact(width) {
                    *out += weights[at] * values[column];
                    at += 1;
                }
            }
        }
    }
}

/// `scores[key] = scale q keys[key]`, of keys that lie `width` apart.
///
/// # Safety
/// `L`'s instructions are there; so many keys, each as long as `q`, can be read.
#[inline(always)]
unsafe fn score<L: Lanes>(q: &[f32], keys: *const f32, width: usize, scale: f32, scores: &mut [f32]) {
    let whole = q.len() / L::N * L::N;
    let last = scores.len().max(1) - 1;
    for (block, scores) in scores.chunks_mut(KEYS_AT_ONCE).enumerate() {
        // Behind the last key it is taken again, and what comes of that is not looked at.
        let rows: [*const f32; KEYS_AT_ONCE] =
            std::array::from_fn(|i| keys.add((block * KEYS_AT_ONCE + i).min(last) * width));
        let mut sums = [L::zero_float(); KEYS_AT_ONCE];
        let mut column = 0;
        while column < whole {
            let q = L::load_float(q.as_ptr().add(column));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = L::mul_add(L::load_float(row.add(column)), q, *sum);
            }
            column += L::N;
        }
        let mut totals = [0f32; KEYS_AT_ONCE];
        for ((total, sum), row) in totals.iter_mut().zip(sums).zip(rows) {
            *total = L::sum(sum);
            for (q, column) in q[whole..].iter().zip(whole..) {
                *total += q * *row.add(column);
            }
        }
        for (score, total) in scores.iter_mut().zip(totals) {
            *score = scale * total;
        }
    }
}

/// `out = weights values` for `V` vectors of columns from `column` on.
///
/// # Safety
/// `L`'s instructions are there; the values have the columns, `weights` is as long as there are values, and as many columns of `out` can be written.
#[inline(always)]
unsafe fn sum<L: Lanes, const V: usize>(
    weights: &[f32],
    stretches: [KeysValues<'_>; 2],
    column: usize,
    width: usize,
    out: *mut f32,
) {
    let mut sums = [L::zero_float(); V];
    let mut weight = weights.as_ptr();
    for (_, values) in stretches {
        let mut row = values.as_ptr().wrapping_add(column);
        for _ in 0..values.len() / width {
            let w = L::splat_float(*weight);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = L::mul_add(L::load_float(row.add(v * L::N)), w, *sum);
            }
            (weight, row) = (weight.add(1), row.wrapping_add(width));
        }
    }
    for (v, sum) in sums.into_iter().enumerate() {
        L::store_float(sum, out.add(v * L::N));
    }
}
