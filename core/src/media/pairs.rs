//! Frames by number: two neighbours from each of a number of equal segments.
//!
//! The rule is that of temporal segment networks (tsn-pytorch, `dataset.py`, `_get_val_indices`), which VideoMAE's feature extraction
//! uses with 8 segments. The numbers are known before decoding, from the count of packets; what comes out is the judge.

use super::Frame;

/// Frames in a pair.
const PAIR: u64 = 2;

/// The number of the first frame of each pair in a video of `count` frames.
fn firsts(count: u64, pairs: usize) -> impl Iterator<Item = u64> {
    let spread = count > pairs as u64 + PAIR - 1;
    let tick = if spread { (count - PAIR + 1) as f64 / pairs.max(1) as f64 } else { 0.0 };
    (0..pairs).map(move |segment| (tick / 2.0 + tick * segment as f64) as u64)
}

/// The numbers of the wanted frames in a video of `count` frames, ascending, each once.
pub(crate) fn numbers(count: u64, pairs: usize) -> Vec<u64> {
    let last = count.saturating_sub(1);
    let mut numbers: Vec<u64> = firsts(count, pairs).flat_map(|first| [first, (first + 1).min(last)]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Positions in `frames`, ascending by index, of the pairs in a video of which `count` frames were expected and `decoded` came
/// out. Empty without frames.
pub(crate) fn positions(count: u64, decoded: u64, pairs: usize, frames: &[Frame]) -> Vec<usize> {
    let Some(end) = frames.len().checked_sub(1) else { return Vec::new() };
    let last = count.min(decoded).saturating_sub(1);
    let nearest = |number: u64| {
        let after = frames.partition_point(|frame| frame.index < number).min(end);
        let before = after.saturating_sub(1);
        let distance = |at: usize| frames[at].index.abs_diff(number);
        if distance(before) <= distance(after) {
            before
        } else {
            after
        }
    };
    let pair = |first: u64| {
        let first = first.min(last.saturating_sub(1));
        [nearest(first), nearest((first + 1).min(last))]
    };
    firsts(count, pairs).flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(indices: &[u64]) -> Vec<Frame> {
        let frame = |&index| Frame {
            width: 1,
            height: 1,
            rgb: vec![0; 3],
            time_s: index as f64,
            index,
            source_width: 1,
            source_height: 1,
            #[cfg(feature = "cuda")]
            on_device: None,
        };
        indices.iter().map(frame).collect()
    }

    fn indices(count: u64, decoded: u64, pairs: usize) -> Vec<u64> {
        let mut kept: Vec<u64> = numbers(count, pairs).into_iter().filter(|&number| number < decoded).collect();
        if decoded < count && decoded > 0 {
            kept.extend([decoded.saturating_sub(2), decoded - 1]);
            kept.sort_unstable();
            kept.dedup();
        }
        let frames = frames(&kept);
        positions(count, decoded, pairs, &frames).into_iter().map(|at| frames[at].index).collect()
    }

    #[test]
    fn the_numbers_are_those_of_the_published_sampling() {
        let cases: [(u64, [u64; 16]); 10] = [
            (1, [0; 16]),
            (2, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]),
            (8, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]),
            (9, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]),
            (10, [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9]),
            (16, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            (17, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            (40, [2, 3, 7, 8, 12, 13, 17, 18, 21, 22, 26, 27, 31, 32, 36, 37]),
            (100, [6, 7, 18, 19, 30, 31, 43, 44, 55, 56, 68, 69, 80, 81, 92, 93]),
            (333, [20, 21, 62, 63, 103, 104, 145, 146, 186, 187, 228, 229, 269, 270, 311, 312]),
        ];
        for (count, expected) in cases {
            assert_eq!(indices(count, count, 8), expected, "{count} frames");
            // More frames than packets change nothing.
            assert_eq!(indices(count, count + 3, 8), expected, "{count} frames");
        }
    }

    #[test]
    fn the_last_frames_stand_in_for_missing_ones() {
        assert_eq!(indices(16, 13, 8)[10..], [10, 11, 11, 12, 11, 12]);
        assert_eq!(indices(16, 1, 8), [0; 16]);
        assert_eq!(indices(100, 2, 8), [0, 1].repeat(8));
    }

    #[test]
    fn any_counts_give_a_full_list_in_range() {
        for pairs in 0..12 {
            for count in 0..40 {
                for decoded in 0..40 {
                    let kept = frames(&(0..decoded.min(5)).map(|i| i * 3).collect::<Vec<_>>());
                    let positions = positions(count, decoded, pairs, &kept);
                    assert_eq!(positions.len(), if decoded == 0 { 0 } else { 2 * pairs });
                    assert!(positions.iter().all(|&at| at < kept.len()));
                    assert!(numbers(count, pairs).iter().all(|&number| number < count.max(1)));
                }
            }
        }
    }
}
