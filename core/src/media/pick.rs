//! Which frames to keep, decided while they come by.

use super::{FramePick, Sampling};

/// The time in seconds that `pick` means in a video from `span.0` to `span.1`.
pub(super) fn wanted_time(pick: FramePick, span: (f64, f64)) -> f64 {
    match pick {
        FramePick::First => span.0,
        FramePick::Middle => f64::midpoint(span.0, span.1),
        FramePick::At(seconds) => seconds,
    }
}

/// The times in seconds, ascending, to which the nearest frames are kept.
pub(crate) fn wanted_times(sampling: &Sampling, span: (f64, f64)) -> Vec<f64> {
    let (start, end) = span;
    let bins = sampling.max_frames;
    let width = (end - start).max(0.0) / bins.max(1) as f64;
    let mut times: Vec<f64> = (0..bins).map(|bin| start + (bin as f64 + 0.5) * width).collect();
    times.extend(sampling.pick.map(|pick| wanted_time(pick, span)));
    times.sort_by(f64::total_cmp);
    times
}

/// Times nearer to each other than this, in seconds, count as equal: it is below any time base and above rounding.
const TIE_S: f64 = 1e-6;

/// Which of the two newest frames to keep.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keep {
    /// The frame before the newest.
    pub previous: bool,
    /// The newest frame.
    pub newest: bool,
}

/// Goes along the frames of a video and says which one is nearest to each wanted time, the earlier one on a tie, and which are
/// wanted by number.
///
/// A frame can be told to be nearest only once the next one is known, so the caller holds the newest frame and the one before.
#[derive(Debug)]
pub(super) struct Picker {
    wanted: Vec<f64>,
    next: usize,
    numbers: Vec<u64>,
    next_number: usize,
    count: u64,
    previous: Option<f64>,
    previous_kept: bool,
    before_kept: bool,
}

impl Picker {
    /// A picker for ascending times and ascending frame numbers.
    pub fn new(wanted: Vec<f64>, numbers: Vec<u64>) -> Self {
        Self {
            wanted,
            next: 0,
            numbers,
            next_number: 0,
            count: 0,
            previous: None,
            previous_kept: false,
            before_kept: false,
        }
    }

    /// Takes the time of the newest frame, not before that of the frame before.
    pub fn advance(&mut self, time_s: f64) -> Keep {
        let mut keep = Keep::default();
        while let Some(&number) = self.numbers.get(self.next_number) {
            if number > self.count {
                break;
            }
            self.next_number += 1;
            keep.newest |= number == self.count;
        }
        self.count += 1;
        while let Some(&wanted) = self.wanted.get(self.next) {
            if wanted > time_s {
                break;
            }
            self.next += 1;
            match self.previous {
                Some(previous) if wanted - previous <= time_s - wanted + TIE_S => keep.previous = true,
                _ => keep.newest = true,
            }
        }
        keep.previous &= !self.previous_kept;
        self.before_kept = self.previous.is_none() || self.previous_kept || keep.previous;
        self.previous = Some(time_s);
        self.previous_kept = keep.newest;
        keep
    }

    /// Ends the video; says which of the last two frames are to be kept for the times and numbers after it.
    pub fn finish(&mut self) -> Keep {
        let missing = self.next_number < self.numbers.len();
        let pending = self.next < self.wanted.len() || missing;
        (self.next, self.next_number) = (self.wanted.len(), self.numbers.len());
        if self.previous.is_none() {
            return Keep::default();
        }
        Keep {
            previous: missing && !std::mem::replace(&mut self.before_kept, true),
            newest: pending && !std::mem::replace(&mut self.previous_kept, true),
        }
    }
}

/// Positions, ascending, of the frames to keep of those at `times` (ascending): the nearest to each of the ascending `wanted` times, and
/// those whose position is in the ascending `numbers`.
pub(crate) fn choose(times: impl IntoIterator<Item = f64>, wanted: Vec<f64>, numbers: Vec<u64>) -> Vec<usize> {
    let mut picker = Picker::new(wanted, numbers);
    let mut kept = Vec::new();
    let mut count = 0usize;
    for time in times {
        count += 1;
        keep_of(&picker.advance(time), count, &mut kept);
    }
    keep_of(&picker.finish(), count, &mut kept);
    // The last but one may be asked for after the last was kept.
    kept.sort_unstable();
    kept
}

/// Adds what `keep` says of the last two of `count` frames.
fn keep_of(keep: &Keep, count: usize, kept: &mut Vec<usize>) {
    kept.extend(count.checked_sub(2).filter(|_| keep.previous));
    kept.extend(count.checked_sub(1).filter(|_| keep.newest));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(times: &[f64], wanted: Vec<f64>) -> Vec<usize> {
        picked_by_both(times, wanted, Vec::new())
    }

    fn picked_by_both(times: &[f64], wanted: Vec<f64>, numbers: Vec<u64>) -> Vec<usize> {
        choose(times.iter().copied(), wanted, numbers)
    }

    #[test]
    fn nearest_frame_of_each_time_once() {
        let times: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(picked(&times, vec![0.0, 2.4, 2.6, 3.1, 8.5]), [0, 2, 3, 8]);
        assert_eq!(picked(&times, vec![9.4, 30.0]), [9]);
        assert_eq!(picked(&times, vec![]), [] as [usize; 0]);
        assert_eq!(picked(&[5.0], vec![1.0, 2.0, 9.0]), [0]);
    }

    #[test]
    fn agrees_with_brute_force() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        for _ in 0..200 {
            let mut times: Vec<f64> = (0..1 + (random() * 40.0) as usize).map(|_| random() * 10.0).collect();
            times.sort_by(f64::total_cmp);
            let mut wanted: Vec<f64> = (0..(random() * 12.0) as usize).map(|_| random() * 12.0 - 1.0).collect();
            wanted.sort_by(f64::total_cmp);
            let mut expected: Vec<usize> = Vec::new();
            for &want in &wanted {
                let best = (0..times.len())
                    .min_by(|&a, &b| (times[a] - want).abs().total_cmp(&(times[b] - want).abs()))
                    .into_iter();
                expected.extend(best);
            }
            expected.dedup();
            assert_eq!(picked(&times, wanted.clone()), expected, "{times:?} {wanted:?}");
        }
    }

    #[test]
    fn times_and_numbers_keep_each_frame_once() {
        let times: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(picked_by_both(&times, vec![2.4, 5.6], vec![0, 2, 3, 6, 9]), [0, 2, 3, 6, 9]);
        assert_eq!(picked_by_both(&times, vec![], vec![4, 5]), [4, 5]);
        // Numbers that never come get the last two.
        assert_eq!(picked_by_both(&times, vec![1.0], vec![11, 12]), [1, 8, 9]);
        assert_eq!(picked_by_both(&times, vec![8.0, 9.0], vec![11, 12]), [8, 9]);
        assert_eq!(picked_by_both(&[0.0], vec![], vec![0, 1]), [0]);
        assert_eq!(picked_by_both(&[], vec![1.0], vec![0, 1]), [] as [usize; 0]);
    }

    #[test]
    fn wanted_times_are_bin_centres() {
        let sampling = Sampling { max_frames: 4, pick: Some(FramePick::Middle), ..Sampling::default() };
        assert_eq!(wanted_times(&sampling, (1.0, 9.0)), [2.0, 4.0, 5.0, 6.0, 8.0]);
        let none = Sampling { max_frames: 0, ..Sampling::default() };
        assert!(wanted_times(&none, (0.0, 1.0)).is_empty());
    }
}
