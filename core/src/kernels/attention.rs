//! Attention of many rows at once: queries lie side by side in vectors, keys go by in blocks, and only a block's scores are held (Milakov and Gimelshein 2018; Dao et al. 2022).

use std::cell::Cell;

use super::attend_rows::AttentionShape;
use super::crew::for_each;
use super::lanes::Lanes;
use super::output::Output;
use super::rowwise::exp_of_negative;
use super::Isa;
use crate::cancel::CancelToken;

/// Keys whose scores are held.
const KEYS: usize = 48;
/// Keys that are multiplied with the queries at a time.
const KEYS_AT_ONCE: usize = 6;
/// Vectors of queries.
const V: usize = 2;

/// What the rows of a pass look at: all of `prefix`, and of `own` the rows of their own sequence up to themselves.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Keys and values of what came before, each `[tokens, kv_heads * head_dim]`.
    pub prefix: (&'a [f32], &'a [f32]),
    /// Keys and values of the rows themselves, likewise.
    pub own: (&'a [f32], &'a [f32]),
    /// For each row the number of the first row of its sequence.
    pub starts: &'a [usize],
}

/// Keys and values of some tokens.
#[derive(Clone, Copy)]
struct Seen<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    tokens: usize,
    /// Values from one token to the next.
    stride: usize,
    /// Values from one head to the next.
    head: usize,
}

impl<'a> Seen<'a> {
    /// `[tokens, kv_heads * head_dim]` each.
    fn tokens((keys, values): (&'a [f32], &'a [f32]), shape: AttentionShape) -> Self {
        let stride = shape.kv_heads * shape.head_dim;
        Self { keys, values, tokens: keys.len() / stride.max(1), stride, head: shape.head_dim }
    }
}

/// All rows, and what they look at.
#[derive(Clone, Copy)]
struct Rows<'a> {
    shape: AttentionShape,
    q: &'a [f32],
    /// Values from one row of `q` to the next.
    stride: usize,
    n: usize,
    prefix: Seen<'a>,
    /// The rows themselves, and the first row of each one's sequence; nothing where all rows see the same.
    own: Option<(Seen<'a>, &'a [usize])>,
}

/// Some rows of one head.
struct Block<'a> {
    all: &'a Rows<'a>,
    head: usize,
    first: usize,
    rows: usize,
    out: &'a Output<'a>,
}

/// Causal attention of all rows: queries `q` `[n, heads * head_dim]`, into `out` like `q`.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn attend(isa: Isa, shape: AttentionShape, q: &[f32], context: Context<'_>, out: &mut [f32], cancel: &CancelToken) {
    let Context { prefix, own, starts } = context;
    let own = Some((Seen::tokens(own, shape), starts));
    let stride = shape.heads * shape.head_dim;
    let rows = Rows { shape, q, stride, n: starts.len(), prefix: Seen::tokens(prefix, shape), own };
    attend_blocks(isa, &rows, out, cancel);
}

/// Attention in which each of `n` rows sees all: queries, keys and values `[n, heads * head_dim]`, `stride` values from one row to the next, into
/// `out` `[n, heads * head_dim]`.
///
/// Stops early, leaving `out` unspecified, once `cancel` is cancelled.
pub fn attend_all(
    isa: Isa,
    shape: AttentionShape,
    [q, keys, values]: [&[f32]; 3],
    stride: usize,
    out: &mut [f32],
    cancel: &CancelToken,
) {
    let AttentionShape { heads, head_dim, .. } = shape;
    let n = out.len() / (heads * head_dim).max(1);
    // A head's rows lie so far apart, often at a power of two, that few of them stay in a cache. So each head's are put together.
    let [keys, values] = [keys, values].map(|from| {
        assert!(from.len() >= n.saturating_sub(1) * stride + heads * head_dim * n.min(1), "attention sizes");
        let mut packed = vec![0f32; out.len()];
        let parts = Output::new(&mut packed);
        for_each(heads, |head| {
            // SAFETY: no two calls have the same number.
            let packed = unsafe { parts.part(head * n * head_dim, n * head_dim) };
            for (packed, row) in packed.chunks_exact_mut(head_dim).zip(from.chunks(stride)) {
                packed.copy_from_slice(&row[head * head_dim..][..head_dim]);
            }
        });
        packed
    });
    let prefix = Seen { keys: &keys, values: &values, tokens: n, stride: head_dim, head: n * head_dim };
    attend_blocks(isa, &Rows { shape, q, stride, n, prefix, own: None }, out, cancel);
}

fn attend_blocks(isa: Isa, all: &Rows<'_>, out: &mut [f32], cancel: &CancelToken) {
    let (n, heads) = (all.n, all.shape.heads);
    assert!(out.len() == n * heads * all.shape.head_dim, "attention sizes");
    let (lanes, run): (usize, unsafe fn(&Block<'_>)) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if n <= 16 => (8, attend_avx2),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, attend_avx512),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, attend_avx2),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (4, attend_block::<super::lanes::Neon, 8, true>),
        Isa::Portable => (8, attend_block::<super::lanes::Portable, 8, false>),
    };
    let tokens = V * lanes;
    let out = Output::new(out);
    let blocks = n.div_ceil(tokens);
    for_each(blocks * heads, |i| {
        let (block, head) = match all.own {
            // The last rows see the most: who begins with them ends together.
            Some(_) => (blocks - 1 - i / heads, i % heads),
            // The head's keys and values are still in the cache.
            None => (i % blocks, i / blocks),
        };
        let first = block * tokens;
        let block = Block { all, head, first, rows: tokens.min(n - first), out: &out };
        if !cancel.is_cancelled() {
            // SAFETY: the function was chosen for features that `Isa::detect` found; no two blocks have rows of a head in common.
            unsafe { run(&block) };
        }
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn attend_avx512(block: &Block<'_>) {
    attend_block::<super::lanes::Avx512, 8, true>(block);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn attend_avx2(block: &Block<'_>) {
    attend_block::<super::lanes::Avx2, 6, true>(block);
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

#[derive(Default)]
struct Scratch {
    /// `[head_dim, T]`.
    queries: Vec<f32>,
    /// `[KEYS, T]`.
    scores: Vec<f32>,
    /// `[head_dim, T]`.
    sums: Vec<f32>,
    /// The largest score so far, what of the sums is kept, and the sum of the weights, each `[T]`.
    most: Vec<f32>,
    kept: Vec<f32>,
    total: Vec<f32>,
}

/// `C` columns of the values are summed at a time: as many as there are registers for.
///
/// # Safety
/// `L`'s instructions are there; nobody else writes the block's part of the output.
#[inline(always)]
unsafe fn attend_block<L: Lanes, const C: usize, const FMA: bool>(block: &Block<'_>) {
    let &Block { all: &Rows { shape, q, stride, prefix, own, .. }, out, .. } = block;
    let AttentionShape { heads, kv_heads, head_dim } = shape;
    let tokens = V * L::N;
    let kv_head = block.head / (heads / kv_heads);
    let mut scratch = SCRATCH.take();
    let Scratch { queries, scores, sums, most, kept, total } = &mut scratch;
    queries.clear();
    queries.resize(head_dim * tokens, 0.0);
    let scale = 1.0 / (head_dim as f32).sqrt();
    for row in 0..block.rows {
        let from = (block.first + row) * stride + block.head * head_dim;
        for (query, x) in queries.chunks_exact_mut(tokens).zip(&q[from..from + head_dim]) {
            query[row] = scale * x;
        }
    }
    scores.resize(KEYS * tokens, 0.0);
    sums.clear();
    sums.resize(head_dim * tokens, 0.0);
    most.clear();
    most.resize(tokens, f32::NEG_INFINITY);
    kept.resize(tokens, 0.0);
    total.clear();
    total.resize(tokens, 0.0);

    // Of the rows themselves: those from the first sequence's beginning to the block's last one.
    let starts = own.map_or(&[][..], |(_, starts)| &starts[block.first..block.first + block.rows]);
    let own_first = starts.iter().copied().min().unwrap_or(block.first);
    let latest_start = starts.iter().copied().max().unwrap_or(block.first);
    let own = own.map(|(own, _)| (own, own_first, block.first + block.rows, true));
    for (seen, first, end, own) in [Some((prefix, 0, prefix.tokens, false)), own].into_iter().flatten() {
        let (width, column) = (seen.stride, kv_head * seen.head);
        let mut at = first;
        while at < end {
            let count = KEYS.min(end - at);
            let part = |x: &[f32]| x[at * width + column..][..(count - 1) * width + head_dim].as_ptr();
            score::<L>(queries, head_dim, part(seen.keys), width, count, scores);
            if own {
                for (key, scores) in (at..at + count).zip(scores.chunks_exact_mut(tokens)) {
                    // A row sees no later one,
                    scores[..key.saturating_sub(block.first).min(block.rows)].fill(f32::NEG_INFINITY);
                    // and none of a sequence before its own.
                    if key < latest_start {
                        for (score, &start) in scores.iter_mut().zip(starts) {
                            *score += if key < start { f32::NEG_INFINITY } else { 0.0 };
                        }
                    }
                }
            }
            weigh::<L, FMA>(&mut scores[..count * tokens], most, kept, total);
            sum::<L, C>(scores, head_dim, part(seen.values), width, count, kept, sums);
            at += count;
        }
    }
    total.iter_mut().for_each(|total| *total = 1.0 / *total);
    for row in 0..block.rows {
        let scale = total[row];
        let out = out.part((block.first + row) * heads * head_dim + block.head * head_dim, head_dim);
        for (out, sum) in out.iter_mut().zip(sums.chunks_exact(tokens)) {
            *out = sum[row] * scale;
        }
    }
    SCRATCH.set(scratch);
}

/// `scores[key][query]`, of `count` keys that lie `width` apart.
#[inline(always)]
unsafe fn score<L: Lanes>(
    queries: &[f32],
    head_dim: usize,
    keys: *const f32,
    width: usize,
    count: usize,
    scores: &mut [f32],
) {
    let tokens = V * L::N;
    for first in (0..count).step_by(KEYS_AT_ONCE) {
        let mut sums = [[L::zero_float(); V]; KEYS_AT_ONCE];
        // Behind the last key it is taken again, and what comes of that is not looked at: `KEYS` is a multiple.
        let rows: [*const f32; KEYS_AT_ONCE] = std::array::from_fn(|i| keys.add((first + i).min(count - 1) * width));
        for column in 0..head_dim {
            let mut q = [L::zero_float(); V];
            for (v, q) in q.iter_mut().enumerate() {
                *q = L::load_float(queries.as_ptr().add(column * tokens + v * L::N));
            }
            for (sums, row) in sums.iter_mut().zip(rows) {
                let key = L::splat_float(*row.add(column));
                for (sum, q) in sums.iter_mut().zip(q) {
                    *sum = L::mul_add(q, key, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                L::store_float(sum, scores.as_mut_ptr().add((first + i) * tokens + v * L::N));
            }
        }
    }
}

/// Turns scores `[keys, T]` into weights relative to the largest score so far, which may grow; `kept` says what the sums before are worth then.
///
/// # Safety
/// `L`'s instructions are there; `T` is a multiple of its lanes.
#[inline(always)]
unsafe fn weigh<L: Lanes, const FMA: bool>(scores: &mut [f32], most: &mut [f32], kept: &mut [f32], total: &mut [f32]) {
    let tokens = most.len();
    kept.copy_from_slice(most);
    for (v, most) in most.chunks_exact_mut(L::N).enumerate() {
        let mut largest = L::load_float(most.as_ptr());
        for scores in scores.chunks_exact(tokens) {
            largest = L::max(L::load_float(scores[v * L::N..][..L::N].as_ptr()), largest);
        }
        L::store_float(largest, most.as_mut_ptr());
    }
    for ((kept, most), total) in kept.iter_mut().zip(most.iter()).zip(total.iter_mut()) {
        // Before the first key that a row sees there is nothing to keep.
        *kept = if *kept == f32::NEG_INFINITY { 0.0 } else { exp_of_negative::<FMA>(*kept - most) };
        *total *= *kept;
    }
    for scores in scores.chunks_exact_mut(tokens) {
        for ((score, most), total) in scores.iter_mut().zip(most.iter()).zip(total.iter_mut()) {
            let weight = exp_of_negative::<FMA>(*score - most);
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { weight };
            *total += *score;
        }
    }
}

/// `sums[column][query] = sums kept + weights values`.
#[inline(always)]
unsafe fn sum<L: Lanes, const C: usize>(
    weights: &[f32],
    head_dim: usize,
    values: *const f32,
    width: usize,
    count: usize,
    kept: &[f32],
    sums: &mut [f32],
) {
    let tokens = V * L::N;
    for first in (0..head_dim).step_by(C) {
        let columns = C.min(head_dim - first);
        let mut totals = [[L::zero_float(); V]; C];
        for (i, totals) in totals.iter_mut().enumerate().take(columns) {
            for (v, total) in totals.iter_mut().enumerate() {
                let before = L::load_float(sums.as_ptr().add((first + i) * tokens + v * L::N));
                *total = L::mul(before, L::load_float(kept.as_ptr().add(v * L::N)));
            }
        }
        for key in 0..count {
            let mut w = [L::zero_float(); V];
            for (v, w) in w.iter_mut().enumerate() {
                *w = L::load_float(weights.as_ptr().add(key * tokens + v * L::N));
            }
            for (i, totals) in totals.iter_mut().enumerate() {
                let value = L::splat_float(*values.add(key * width + first + i.min(columns - 1)));
                for (total, w) in totals.iter_mut().zip(w) {
                    *total = L::mul_add(w, value, *total);
                }
            }
        }
        for (i, totals) in totals.into_iter().enumerate().take(columns) {
            for (v, total) in totals.into_iter().enumerate() {
                L::store_float(total, sums.as_mut_ptr().add((first + i) * tokens + v * L::N));
            }
        }
    }
}
