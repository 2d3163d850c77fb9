//! Which packets have to be decoded for the wanted frames to come out.
//!
//! A frame needs the pictures that it refers to, at most all from the last entry point on. So whole groups of pictures are left out, and within a
//! group what comes after its last wanted frame, and pictures that no other refers to.

use super::access::Mark;
use super::pick::choose;

/// Which frames are kept, each list ascending.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted {
    /// Times in seconds of the clip, to each of which the nearest frame is kept.
    pub times: Vec<f64>,
    /// Numbers of frames.
    pub numbers: Vec<u64>,
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Skip,
    /// It is decoded.
    Decode,
    /// It is decoded by a decoder that has given all it held, and remembers nothing.
    Begin,
}

/// What is done with each packet of a picture stream, and which frames come of it.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// By packet, in the order of the file. Those after the last are skipped.
    pub steps: Vec<Step>,
    /// By packet, whether a frame comes out of it.
    pub is_shown: Vec<bool>,
    /// Time stamps of all frames of the video, ascending: the position is the number of the frame.
    pub stamps: Vec<i64>,
    /// Their times in seconds.
    pub times: Vec<f64>,
    /// Numbers of the frames to keep, ascending.
    pub kept: Vec<usize>,
}

impl Plan {
    /// None where the packets do not tell which frames come of them, or where all of them are needed. `time_s` is the time of a stamp.
    pub fn of(marks: &[Mark], time_s: impl Fn(i64) -> f64, wanted: Wanted) -> Option<Self> {
        let mut shown: Vec<usize> = (0..marks.len()).filter(|&at| marks[at].is_shown).collect();
        shown.sort_unstable_by_key(|&at| marks[at].pts);
        let stamps: Vec<i64> = shown.iter().map(|&at| marks[at].pts).collect();
        let times: Vec<f64> = stamps.iter().map(|&stamp| time_s(stamp)).collect();
        let are_clear = stamps.windows(2).all(|pair| pair[0] < pair[1])
            && times.iter().all(|time| time.is_finite())
            && times.first().is_some_and(|&first| first >= 0.0);
        if !are_clear {
            return None;
        }
        let kept = choose(times.iter().copied(), wanted.times, wanted.numbers);
        let mut is_needed = vec![false; marks.len()];
        kept.iter().for_each(|&number| is_needed[shown[number]] = true);
        if kept.is_empty() {
            // Whether there are pictures at all is to be seen.
            is_needed[*shown.first()?] = true;
        }
        let mut steps = steps(marks, &is_needed)?;
        steps.truncate(steps.iter().rposition(|step| *step != Step::Skip)? + 1);
        let is_shorter = steps.len() < marks.len() || steps.contains(&Step::Skip);
        let is_shown = marks.iter().map(|mark| mark.is_shown).collect();
        is_shorter.then_some(Self { steps, is_shown, stamps, times, kept })
    }
}

/// What to do with each packet so that those that are needed can be decoded. None if the first packets need others.
fn steps(marks: &[Mark], is_needed: &[bool]) -> Option<Vec<Step>> {
    let mut groups: Vec<usize> = (0..marks.len()).filter(|&at| marks[at].is_entry).collect();
    if groups.first() != Some(&0) {
        return None;
    }
    groups.push(marks.len());
    // Pictures after an entry point in the file and before it in time refer to the group before, too.
    let is_leading = |entry: usize, at: usize| marks[at].pts < marks[entry].pts;
    let ends = ends(&groups, is_needed, is_leading)?;
    let mut steps = vec![Step::Skip; marks.len()];
    // Whether all that a leading picture may refer to was decoded; the decoder is as new at the start.
    let mut is_continued = true;
    for (group, &end) in groups.windows(2).zip(&ends) {
        let (entry, next) = (group[0], group[1]);
        for at in entry..end {
            let is_of_no_use = marks[at].is_disposable && !is_needed[at];
            steps[at] = match () {
                () if at == entry && !is_continued => Step::Begin,
                () if at != entry && (is_of_no_use || !is_continued && is_leading(entry, at)) => Step::Skip,
                () => Step::Decode,
            };
        }
        is_continued = end == next;
    }
    // Where the codec has pictures that stand alone only, the decoder remembers nothing.
    if marks.iter().all(|mark| mark.is_entry && mark.is_disposable) {
        steps.iter_mut().filter(|step| **step == Step::Begin).for_each(|step| *step = Step::Decode);
    }
    Some(steps)
}

/// Where decoding ends in each group: after the last picture that is needed, at the very end where the next group needs this one, at its beginning
/// where nothing is needed.
fn ends(groups: &[usize], is_needed: &[bool], is_leading: impl Fn(usize, usize) -> bool) -> Option<Vec<usize>> {
    let mut ends = Vec::with_capacity(groups.len());
    let mut is_needed_whole = false;
    for group in groups.windows(2).rev() {
        let (entry, next) = (group[0], group[1]);
        let last = (entry..next).rev().find(|&at| is_needed[at]);
        ends.push(if is_needed_whole { next } else { last.map_or(entry, |last| last + 1) });
        is_needed_whole = (entry..next).any(|at| is_needed[at] && is_leading(entry, at));
    }
    ends.reverse();
    // Before the first group there is none, so that its leading pictures are as the decoder likes.
    let (first, second) = (groups[0], groups[1]);
    (!(first..second).any(|at| is_leading(first, at))).then_some(ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets told by letters in the order of the file, with their time stamps: `I` an entry point, `P` a picture that others refer to, `b` one
    /// that none refers to, `h` one that is not shown, `i` one of a codec in which none refers to any.
    fn marks(packets: &[(char, i64)]) -> Vec<Mark> {
        let mark = |&(kind, pts): &(char, i64)| Mark {
            pts,
            is_entry: "Ii".contains(kind),
            is_disposable: "bi".contains(kind),
            is_shown: kind != 'h',
        };
        packets.iter().map(mark).collect()
    }

    fn drawn(plan: &Plan) -> String {
        let letter = |step: &Step| match step {
            Step::Skip => '-',
            Step::Decode => 'd',
            Step::Begin => 'B',
        };
        plan.steps.iter().map(letter).collect()
    }

    fn plan(packets: &[(char, i64)], numbers: &[u64]) -> Option<String> {
        let wanted = Wanted { times: Vec::new(), numbers: numbers.to_vec() };
        Plan::of(&marks(packets), |pts| pts as f64, wanted).as_ref().map(drawn)
    }

    /// Letters with ascending stamps.
    fn in_turn(letters: &str) -> Vec<(char, i64)> {
        letters.chars().zip(0..).collect()
    }

    #[test]
    fn groups_without_a_wanted_frame_are_left_out() {
        let packets = in_turn("IPPPIPPPIPPP");
        assert_eq!(plan(&packets, &[1]).as_deref(), Some("dd"));
        assert_eq!(plan(&packets, &[9]).as_deref(), Some("--------Bd"));
        assert_eq!(plan(&packets, &[1, 8]).as_deref(), Some("dd------B"));
        assert_eq!(plan(&packets, &[3, 4]).as_deref(), Some("ddddd"), "what goes on needs no new decoder");
        assert_eq!(plan(&packets, &[]).as_deref(), Some("d"), "one frame shows that there are any");
        assert_eq!(plan(&packets, &[3, 7, 11]), None, "all are needed");
    }

    #[test]
    fn pictures_that_none_refers_to_are_left_out() {
        assert_eq!(plan(&in_turn("IPbPbP"), &[4]).as_deref(), Some("dd-dd"));
        assert_eq!(plan(&in_turn("iiii"), &[0, 2]).as_deref(), Some("d-d"), "pictures that stand alone");
        assert_eq!(plan(&in_turn("IIII"), &[0, 2]).as_deref(), Some("d-B"), "pictures that are said to do");
    }

    #[test]
    fn leading_pictures_need_the_group_before() {
        // Shown in the order I0 b1 P2 b3 I4 P5.
        let packets = [('I', 0), ('P', 2), ('b', 1), ('I', 4), ('b', 3), ('P', 5)];
        assert_eq!(plan(&packets, &[3]).as_deref(), Some("dd-dd"));
        assert_eq!(plan(&packets, &[5]).as_deref(), Some("---B-d"));
        assert_eq!(plan(&[('I', 1), ('b', 0), ('P', 2), ('I', 3)], &[2]), None, "nothing is before the first group");
    }

    #[test]
    fn unclear_packets_have_no_plan() {
        assert_eq!(plan(&in_turn("PPIPP"), &[0]), None);
        assert_eq!(plan(&[('I', 0), ('P', 1), ('P', 1), ('P', 2)], &[0]), None);
        assert_eq!(plan(&[('I', -1), ('P', 0), ('P', 2)], &[0]), None);
        assert_eq!(plan(&[], &[0]), None);
        assert_eq!(plan(&[('h', 0), ('h', 1)], &[0]), None);
    }

    #[test]
    fn hidden_pictures_are_decoded_and_have_no_number() {
        assert_eq!(plan(&in_turn("IhPPIPP"), &[2]).as_deref(), Some("dddd"));
    }

    proptest! {
        /// A picture refers to the entry point of its group and to those of its group before it that are no disposable ones; if it is leading, to
        /// all of these of the group before, too. Of each frame that is kept, all these must have been decoded by the same decoder.
        #[test]
        fn all_that_a_kept_frame_refers_to_is_decoded(
            letters in prop::collection::vec(prop::sample::select(vec!['I', 'P', 'P', 'P', 'b', 'b', 'h']), 1..60),
            swaps in prop::collection::vec(0usize..60, 0..20),
            wanted in prop::collection::btree_set(0u64..60, 0..6),
        ) {
            let mut stamps: Vec<i64> = (0..letters.len() as i64).collect();
            for at in swaps {
                if at + 1 < stamps.len() {
                    stamps.swap(at, at + 1);
                }
            }
            let packets: Vec<(char, i64)> = std::iter::once(('I', -1)).chain(letters.into_iter().zip(stamps)).collect();
            let marks = marks(&packets);
            let numbers = Wanted { times: Vec::new(), numbers: wanted.into_iter().collect() };
            let Some(plan) = Plan::of(&marks, |pts| (pts + 1) as f64, numbers) else { return Ok(()) };
            let step = |at: usize| plan.steps.get(at).copied().unwrap_or(Step::Skip);
            let entry_of = |at: usize| (0..=at).rev().find(|&at| marks[at].is_entry);
            for &number in &plan.kept {
                let at = marks.iter().position(|mark| mark.is_shown && mark.pts == plan.stamps[number]).unwrap();
                let entry = entry_of(at).unwrap();
                let is_leading = marks[at].pts < marks[entry].pts;
                let first = if is_leading { entry_of(entry - 1).unwrap() } else { entry };
                prop_assert!(step(at) != Step::Skip);
                for before in first..at {
                    let own_entry = entry_of(before).unwrap();
                    let is_other_leading = marks[before].pts < marks[own_entry].pts && !(is_leading && own_entry == entry);
                    let is_referred = marks[before].is_entry || !marks[before].is_disposable && !is_other_leading;
                    prop_assert!(!is_referred || step(before) != Step::Skip, "{packets:?} {}", drawn(&plan));
                    prop_assert!(before == first || step(before) != Step::Begin);
                }
            }
        }
    }
}
