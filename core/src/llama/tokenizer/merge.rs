//! Joining of neighbouring symbols, best pair first (Sennrich et al. 2016).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::HashMap;

/// Two neighbouring tokens to their rank (lowest first) and what they become.
pub type Merges = HashMap<(u32, u32), (u32, u32)>;

/// Joins neighbours in `symbols`, lowest rank first and leftmost among equals, and adds what is left to `out`.
///
/// Takes time `n log n` in the number of symbols.
pub fn merge(mut symbols: Vec<u32>, merges: &Merges, out: &mut Vec<u32>) {
    const NONE: usize = usize::MAX;
    let n = symbols.len();
    // A doubly linked list in place: a joined symbol stays at its left part's index.
    let mut next: Vec<usize> = (1..=n).map(|i| if i < n { i } else { NONE }).collect();
    let mut previous: Vec<usize> = (0..n).map(|i| i.wrapping_sub(1)).collect();
    let mut alive = vec![true; n];
    let mut queue = BinaryHeap::new();
    let candidate = |symbols: &[u32], left: usize, right: usize| {
        let pair = (*symbols.get(left)?, *symbols.get(right)?);
        merges.get(&pair).map(|&(rank, joined)| Reverse((rank, left, right, pair, joined)))
    };
    queue.extend((1..n).filter_map(|i| candidate(&symbols, i - 1, i)));
    while let Some(Reverse((_, left, right, pair, joined))) = queue.pop() {
        // An entry is stale once either side was joined with something else.
        if !alive[left] || !alive[right] || next[left] != right || (symbols[left], symbols[right]) != pair {
            continue;
        }
        symbols[left] = joined;
        alive[right] = false;
        next[left] = next[right];
        if let Some(previous) = previous.get_mut(next[left]) {
            *previous = left;
        }
        queue.extend(candidate(&symbols, previous[left], left));
        queue.extend(candidate(&symbols, left, next[left]));
    }
    out.extend(symbols.iter().zip(&alive).filter(|(_, &alive)| alive).map(|(&id, _)| id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_takes_the_lowest_rank_and_then_the_leftmost() {
        // "aaa" with "aa" at rank 1: the left pair joins. "b" after it: rank 0 wins over rank 1.
        let (a, b, aa, ab) = (1, 2, 3, 4);
        let merges = Merges::from_iter([((a, a), (1, aa)), ((a, b), (0, ab))]);
        let run = |symbols: &[u32]| {
            let mut out = Vec::new();
            merge(symbols.to_vec(), &merges, &mut out);
            out
        };
        assert_eq!(run(&[a, a, a]), [aa, a]);
        assert_eq!(run(&[a, a, b]), [a, ab]);
        assert_eq!(run(&[]), Vec::<u32>::new());
        assert_eq!(run(&[a, a, a, a]), [aa, aa]);
    }
}
