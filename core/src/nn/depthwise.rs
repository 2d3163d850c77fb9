//! Lines of a depthwise convolution: a vector of channels at a time, its sums in registers.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    reason = "vector kernels chosen at run time; every unsafe function says what it needs"
)]

use std::ops::Range;

use super::kernels::Axis;
use super::parameters::Activation;
use crate::kernels::lanes::{Lanes, Portable};
use crate::kernels::Isa;

#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};

/// Outputs of a line that are computed before the next ones begin: what lies under their windows then stays near.
const STRETCH: usize = 32;

/// A line of the input under the window, and the weights it is multiplied with.
pub(super) struct Tap<'a> {
    /// `[axis.input, channels]`.
    pub x: &'a [f32],
    /// `[window, channels]`.
    pub weights: &'a [f32],
}

/// `out = then(bias + Σ taps)` for one line of outputs `[axis.output, channels]`.
///
/// # Panics
/// When a slice is not as long as the sizes say; callers size them from the same numbers.
pub(super) fn line(
    isa: Isa,
    out: &mut [f32],
    taps: &[Tap<'_>],
    bias: Option<&[f32]>,
    axis: &Axis,
    channels: usize,
    then: Activation,
) {
    let window = taps.first().map_or(0, |tap| tap.weights.len() / channels.max(1));
    let whole = |tap: &Tap<'_>| tap.x.len() == axis.input * channels && tap.weights.len() == window * channels;
    assert!(out.len() == axis.output * channels && taps.iter().all(whole), "line sizes");
    assert!(bias.is_none_or(|bias| bias.len() == channels), "line sizes");
    let line = Line { taps, bias, axis, channels, window };
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn avx512(line: &Line<'_>, out: &mut [f32], then: Activation) {
        line.compute::<Avx512>(out, then);
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2(line: &Line<'_>, out: &mut [f32], then: Activation) {
        line.compute::<Avx2>(out, then);
    }
    // SAFETY: the instructions are there: `isa` is made by `Isa::detect` only. The sizes were checked above.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if channels >= Avx512::N => avx512(&line, out, then),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => avx2(&line, out, then),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => line.compute::<Neon>(out, then),
            Isa::Portable => line.compute::<Portable>(out, then),
        }
    }
}

struct Line<'a> {
    taps: &'a [Tap<'a>],
    bias: Option<&'a [f32]>,
    axis: &'a Axis,
    channels: usize,
    window: usize,
}

/// Where the sums go, and through which activation.
#[derive(Clone, Copy)]
struct Outputs<L: Lanes> {
    line: *mut f32,
    slope: L::Float,
    greatest: L::Float,
}

impl<L: Lanes> Outputs<L> {
    /// # Safety
    /// The instructions of `L` are there, and the line holds a vector from `at` on.
    #[inline(always)]
    unsafe fn write(self, at: usize, sum: L::Float) {
        L::store_float(L::limit(sum, self.slope, self.greatest), self.line.add(at));
    }
}

impl Line<'_> {
    /// # Safety
    /// The instructions of `L` are there, and the slices are as long as the sizes say.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(&self, out: &mut [f32], then: Activation) {
        if self.channels < L::N {
            self.plain(out);
            then.apply(out);
            return;
        }
        let (slope, greatest) = then.bounds();
        let to = Outputs { line: out.as_mut_ptr(), slope: L::splat_float(slope), greatest: L::splat_float(greatest) };
        let whole = self.whole();
        // A stretch of outputs at a time, whose inputs stay near while all channels of them go by.
        for start in (0..self.axis.output).step_by(STRETCH) {
            let stretch = start..self.axis.output.min(start + STRETCH);
            let last = self.channels - L::N;
            let mut channel = 0;
            loop {
                // The last vector may overlap the one before; it writes the same values.
                let first = channel.min(last);
                self.channels::<L>(to, first, stretch.clone(), whole.clone());
                channel += L::N;
                if first == last {
                    break;
                }
            }
        }
    }

    /// The taps of output `at` that lie inside the input.
    #[inline(always)]
    fn inside(&self, at: usize) -> Range<usize> {
        let left = at * self.axis.stride;
        let end = (self.axis.input + self.axis.before).saturating_sub(left).min(self.window);
        self.axis.before.saturating_sub(left).min(end)..end
    }

    /// The outputs whose windows lie inside the input, where these are of a kind that is computed faster.
    fn whole(&self) -> Range<usize> {
        let axis = self.axis;
        if self.window != 3 || axis.stride > 2 {
            return 0..0;
        }
        let first = axis.before.div_ceil(axis.stride).min(axis.output);
        let end = match (axis.input + axis.before).checked_sub(self.window) {
            Some(last) => (last / axis.stride + 1).min(axis.output),
            None => first,
        };
        first..end.max(first)
    }

    /// Some outputs of the `L::N` channels from `first` on; `whole`: [`Line::whole`].
    ///
    /// # Safety
    /// As for [`Line::compute`]; there are so many channels and outputs, and `to` holds the line.
    #[inline(always)]
    unsafe fn channels<L: Lanes>(&self, to: Outputs<L>, first: usize, outputs: Range<usize>, whole: Range<usize>) {
        let bias = match self.bias {
            Some(bias) => L::load_float(bias.as_ptr().add(first)),
            None => L::zero_float(),
        };
        let start = whole.start.clamp(outputs.start, outputs.end);
        let whole = start..whole.end.clamp(start, outputs.end);
        match self.axis.stride {
            1 => self.side_by_side::<L, 1>(to, bias, first, whole.clone()),
            _ => self.side_by_side::<L, 2>(to, bias, first, whole.clone()),
        }
        for at in (outputs.start..whole.start).chain(whole.end..outputs.end) {
            let inside = self.inside(at);
            let mut sum = bias;
            if !inside.is_empty() {
                let left = (at * self.axis.stride + inside.start).saturating_sub(self.axis.before);
                for tap in self.taps {
                    let x = tap.x.as_ptr().add(left * self.channels + first);
                    let weights = tap.weights.as_ptr().add(inside.start * self.channels + first);
                    for i in 0..inside.len() {
                        let weight = L::load_float(weights.add(i * self.channels));
                        sum = L::mul_add(L::load_float(x.add(i * self.channels)), weight, sum);
                    }
                }
            }
            to.write(at * self.channels + first, sum);
        }
    }

    /// [`Line::channels`] of outputs whose windows are three wide, `S` apart, and lie inside the input: four at a time, for which there are
    /// registers, then one by one.
    ///
    /// # Safety
    /// As for [`Line::channels`].
    #[inline(always)]
    unsafe fn side_by_side<L: Lanes, const S: usize>(
        &self,
        to: Outputs<L>,
        bias: L::Float,
        first: usize,
        outputs: Range<usize>,
    ) {
        let mut at = outputs.start;
        while at + 4 <= outputs.end {
            self.some::<L, S, 4>(to, bias, first, at);
            at += 4;
        }
        while at < outputs.end {
            self.some::<L, S, 1>(to, bias, first, at);
            at += 1;
        }
    }

    /// `P` outputs from `at` on: every input is read once for all windows that it lies under.
    ///
    /// # Safety
    /// As for [`Line::side_by_side`].
    #[inline(always)]
    unsafe fn some<L: Lanes, const S: usize, const P: usize>(
        &self,
        to: Outputs<L>,
        bias: L::Float,
        first: usize,
        at: usize,
    ) {
        let channels = self.channels;
        let from = (at * S - self.axis.before) * channels + first;
        let mut sums = [bias; P];
        for tap in self.taps {
            let x = tap.x.as_ptr().add(from);
            let weight = tap.weights.as_ptr().add(first);
            let weights: [L::Float; 3] =
                [L::load_float(weight), L::load_float(weight.add(channels)), L::load_float(weight.add(2 * channels))];
            for i in 0..(P - 1) * S + 3 {
                let x = L::load_float(x.add(i * channels));
                for (p, sum) in sums.iter_mut().enumerate() {
                    if (p * S..p * S + 3).contains(&i) {
                        *sum = L::mul_add(x, weights[i - p * S], *sum);
                    }
                }
            }
        }
        for (p, sum) in sums.into_iter().enumerate() {
            to.write((at + p) * channels + first, sum);
        }
    }

    /// The same for fewer channels than a vector has.
    #[inline(always)]
    fn plain(&self, out: &mut [f32]) {
        let channels = self.channels;
        for (at, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
            match self.bias {
                Some(bias) => out.copy_from_slice(bias),
                None => out.fill(0.0),
            }
            let inside = self.inside(at);
            for tap in self.taps {
                for i in inside.clone() {
                    let from = (at * self.axis.stride + i - self.axis.before) * channels;
                    let (x, weights) = (&tap.x[from..from + channels], &tap.weights[i * channels..][..channels]);
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weights) {
                        *out += x * weight;
                    }
                }
            }
        }
    }
}
