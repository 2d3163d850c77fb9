//! Fundamental frequency: normalised cross-correlation candidates, chosen by the cheapest path.
//!
//! The costs follow Boersma, "Accurate short-term analysis of the fundamental frequency" (1993), section 4; the correlation is
//! the normalised one of Talkin's RAPT (1995), which needs no correction for the window.

use super::frames::{HOP, WINDOW};
use crate::cancel::CancelToken;
use crate::error::Result;

/// Lowest and highest fundamental frequency looked for, in hertz.
pub(super) const F0_HZ: (f32, f32) = (60.0, 500.0);

/// Rate at which lags are searched.
const RATE: f32 = 8_000.0;
/// Samples at that rate that are compared with their shifted selves: 40 ms.
const SPAN: usize = 320;
const MIN_LAG: usize = 16;
const MAX_LAG: usize = 134;
const CANDIDATES: usize = 6;
const VOICING_THRESHOLD: f32 = 0.45;
/// Frames this far under the loudest (as an amplitude ratio) lean to unvoiced.
const SILENCE: f32 = 0.02;
const OCTAVE_COST: f32 = 0.02;
const OCTAVE_JUMP_COST: f32 = 0.35;
const VOICING_CHANGE_COST: f32 = 0.14;
const FRAMES_PER_CHECK: usize = 500;

/// One frame's fundamental frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pitch {
    /// Hertz.
    pub hz: f32,
    /// Normalised correlation at that period, 0..1.
    pub strength: f32,
}

/// The pitch of each frame of `samples` (16 kHz, peak 1, without DC); `None` where unvoiced. Same frames as `Frames`.
pub(super) fn track(samples: &[f32], cancel: &CancelToken) -> Result<Vec<Option<Pitch>>> {
    let half = halve_rate(samples);
    let loudest = half.iter().fold(1e-9f32, |m, x| m.max(x.abs()));
    let count = (samples.len() + HOP).saturating_sub(WINDOW) / HOP;
    let mut frames = Vec::with_capacity(count);
    for t in 0..count {
        if t % FRAMES_PER_CHECK == 0 {
            cancel.check()?;
        }
        frames.push(candidates(&half, (t * HOP + WINDOW / 2) / 2, loudest));
    }
    Ok(cheapest_path(&frames))
}

/// Low-pass at 3.4 kHz (windowed sinc, 31 taps), every second sample.
fn halve_rate(samples: &[f32]) -> Vec<f32> {
    const TAPS: usize = 31;
    let middle = (TAPS / 2) as f32;
    let cutoff = 3_400.0 / 16_000.0;
    let kernel: Vec<f32> = (0..TAPS)
        .map(|i| {
            let x = i as f32 - middle;
            let sinc = if x == 0.0 {
                2.0 * cutoff
            } else {
                (std::f32::consts::TAU * cutoff * x).sin() / (std::f32::consts::PI * x)
            };
            sinc * (0.54 + 0.46 * (std::f32::consts::PI * x / (middle + 1.0)).cos())
        })
        .collect();
    let mut padded = vec![0.0; TAPS / 2];
    padded.extend_from_slice(samples);
    padded.resize(samples.len() + TAPS - 1, 0.0);
    padded.windows(TAPS).step_by(2).map(|w| w.iter().zip(&kernel).map(|(a, b)| a * b).sum()).collect()
}

/// A possible state of a frame: a pitch (or none) and how good it is.
type Candidate = (Option<Pitch>, f32);

/// The unvoiced state, then the best peaks of the correlation around sample `centre`.
fn candidates(half: &[f32], centre: usize, loudest: f32) -> Vec<Candidate> {
    let reach = SPAN / 2 + MAX_LAG / 2 + 1;
    let from = centre as isize - reach as isize;
    let mut piece = vec![0.0f32; 2 * reach + 2];
    for (i, slot) in piece.iter_mut().enumerate() {
        let at = from + i as isize;
        if let Some(x) = usize::try_from(at).ok().and_then(|at| half.get(at)) {
            *slot = *x;
        }
    }
    let mean = piece.iter().sum::<f32>() / piece.len() as f32;
    piece.iter_mut().for_each(|x| *x -= mean);
    let peak = piece.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let quiet = (2.0 - (peak / loudest) / (SILENCE / (1.0 + VOICING_THRESHOLD))).max(0.0);
    let mut states: Vec<Candidate> = vec![(None, VOICING_THRESHOLD + quiet)];

    let mut squares = Vec::with_capacity(piece.len() + 1);
    let mut sum = 0.0f64;
    squares.push(0.0f64);
    for x in &piece {
        sum += f64::from(*x) * f64::from(*x);
        squares.push(sum);
    }
    let correlation: Vec<f32> = (MIN_LAG - 1..=MAX_LAG + 1)
        .map(|lag| {
            let a = reach - SPAN / 2 - lag / 2;
            let b = a + lag;
            let (Some(first), Some(second)) = (piece.get(a..a + SPAN), piece.get(b..b + SPAN)) else { return 0.0 };
            let dot = dot(first, second);
            let energy = (squares[a + SPAN] - squares[a]) * (squares[b + SPAN] - squares[b]);
            if energy > 1e-14 {
                dot / energy.sqrt() as f32
            } else {
                0.0
            }
        })
        .collect();
    let mut peaks: Vec<Candidate> = Vec::new();
    for (i, w) in correlation.windows(3).enumerate() {
        let &[left, top, right] = w else { continue };
        if top < 0.3 || top < left || top <= right {
            continue;
        }
        let curve = left - 2.0 * top + right;
        let shift = if curve < 0.0 { (0.5 * (left - right) / curve).clamp(-0.5, 0.5) } else { 0.0 };
        let hz = RATE / ((MIN_LAG + i) as f32 + shift);
        if hz < F0_HZ.0 || hz > F0_HZ.1 {
            continue;
        }
        let strength = (top - 0.25 * (left - right) * shift).clamp(0.0, 1.0);
        peaks.push((Some(Pitch { hz, strength }), strength + OCTAVE_COST * (hz / F0_HZ.0).log2()));
    }
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
    peaks.truncate(CANDIDATES);
    states.extend(peaks);
    states
}

/// Sum of products, in eight independent lanes so that it vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum()
}

/// Viterbi: the sequence of states with the best sum of goodness minus the cost of its changes.
fn cheapest_path(frames: &[Vec<Candidate>]) -> Vec<Option<Pitch>> {
    let mut score: Vec<f32> = frames.first().map(|f| f.iter().map(|c| c.1).collect()).unwrap_or_default();
    let mut back: Vec<Vec<usize>> = Vec::with_capacity(frames.len());
    for pair in frames.windows(2) {
        let [before, now] = pair else { continue };
        let mut next = Vec::with_capacity(now.len());
        let mut from = Vec::with_capacity(now.len());
        for (state, good) in now {
            let mut best = (0, f32::NEG_INFINITY);
            for (i, ((previous, _), s)) in before.iter().zip(&score).enumerate() {
                let value = s - change_cost(previous, state);
                if value > best.1 {
                    best = (i, value);
                }
            }
            next.push(best.1 + good);
            from.push(best.0);
        }
        back.push(from);
        score = next;
    }
    let mut at = (0..score.len()).max_by(|a, b| score[*a].total_cmp(&score[*b])).unwrap_or(0);
    let mut path = Vec::with_capacity(frames.len());
    for (t, frame) in frames.iter().enumerate().rev() {
        path.push(frame.get(at).and_then(|c| c.0));
        if let Some(from) = t.checked_sub(1).and_then(|t| back.get(t)) {
            at = from.get(at).copied().unwrap_or(0);
        }
    }
    path.reverse();
    path
}

fn change_cost(before: &Option<Pitch>, now: &Option<Pitch>) -> f32 {
    match (before, now) {
        (None, None) => 0.0,
        (Some(a), Some(b)) => OCTAVE_JUMP_COST * (a.hz / b.hz).log2().abs(),
        _ => VOICING_CHANGE_COST,
    }
}
