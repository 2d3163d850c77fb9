//! Lines of a depthwise convolution: a vector of channels at a time, its sums in registers.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    reason = "vector kernels chosen at run time; every unsafe function says what it needs"
)]

use super::kernels::Axis;
use super::parameters::Activation;
use crate::kernels::lanes::{Lanes, Portable};
use crate::kernels::Isa;

#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};

/// Outputs of a line that are computed before the next ones begin: what lies under their windows then stays near.
const STRETCH: usize = 16;

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

impl Line<'_> {
    /// # Safety
    /// The instructions of `L` are there, and the slices are as long as the sizes say.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(&self, out: &mut [f32], then: Activation) {
        if self.channels < L::N {
            self.plain(out);
        } else {
            // A stretch of outputs at a time, whose inputs stay near while all channels of them go by.
            for start in (0..self.axis.output).step_by(STRETCH) {
                let stretch = start..self.axis.output.min(start + STRETCH);
                let last = self.channels - L::N;
                let mut channel = 0;
                loop {
                    // The last vector may overlap the one before; it writes the same values.
                    let first = channel.min(last);
                    self.channels::<L>(out.as_mut_ptr(), first, stretch.clone());
                    channel += L::N;
                    if first == last {
                        break;
                    }
                }
                then.apply(&mut out[stretch.start * self.channels..stretch.end * self.channels]);
            }
            return;
        }
        then.apply(out);
    }

    /// The taps of output `at` that lie inside the input.
    #[inline(always)]
    fn inside(&self, at: usize) -> std::ops::Range<usize> {
        let left = at * self.axis.stride;
        let end = (self.axis.input + self.axis.before).saturating_sub(left).min(self.window);
        self.axis.before.saturating_sub(left).min(end)..end
    }

    /// The outputs whose taps all lie inside the input.
    fn whole(&self) -> std::ops::Range<usize> {
        let axis = self.axis;
        let first = axis.before.div_ceil(axis.stride).min(axis.output);
        let end = match (axis.input + axis.before).checked_sub(self.window) {
            Some(last) => (last / axis.stride + 1).min(axis.output),
            None => first,
        };
        first..end.max(first)
    }

    /// Some outputs of the `L::N` channels from `first` on.
    ///
    /// # Safety
    /// As for [`Line::compute`]; there are so many channels and outputs, and `out` holds the line.
    #[inline(always)]
    unsafe fn channels<L: Lanes>(&self, out: *mut f32, first: usize, outputs: std::ops::Range<usize>) {
        let (axis, channels) = (self.axis, self.channels);
        let bias = match self.bias {
            Some(bias) => L::load_float(bias.as_ptr().add(first)),
            None => L::zero_float(),
        };
        let mut whole = outputs.start..outputs.start;
        if let (Some(other), 1..=3, 3) = (self.taps.first(), self.taps.len(), self.window) {
            let inside = self.whole();
            let start = inside.start.clamp(outputs.start, outputs.end);
            whole = start..inside.end.clamp(start, outputs.end);
            // At the upper and the lower edge some lines are missing: others take their places, and count nothing.
            let mut rows = [other.x.as_ptr(); 3];
            let mut weights = [[L::zero_float(); 3]; 3];
            for ((row, weights), tap) in rows.iter_mut().zip(&mut weights).zip(self.taps) {
                *row = tap.x.as_ptr();
                for (i, weight) in weights.iter_mut().enumerate() {
                    *weight = L::load_float(tap.weights.as_ptr().add(i * channels + first));
                }
            }
            for at in whole.clone() {
                let from = (at * axis.stride - axis.before) * channels + first;
                let mut sum = bias;
                for (row, weights) in rows.iter().zip(&weights) {
                    for (i, weight) in weights.iter().enumerate() {
                        sum = L::mul_add(L::load_float(row.add(from + i * channels)), *weight, sum);
                    }
                }
                L::store_float(sum, out.add(at * channels + first));
            }
        }
        for at in (outputs.start..whole.start).chain(whole.end..outputs.end) {
            let inside = self.inside(at);
            if inside.is_empty() {
                L::store_float(bias, out.add(at * channels + first));
                continue;
            }
            let mut sum = bias;
            let left = (at * axis.stride + inside.start).saturating_sub(axis.before) * channels + first;
            for tap in self.taps {
                let x = tap.x.as_ptr().add(left);
                let weights = tap.weights.as_ptr().add(inside.start * channels + first);
                for i in 0..inside.len() {
                    let weight = L::load_float(weights.add(i * channels));
                    sum = L::mul_add(L::load_float(x.add(i * channels)), weight, sum);
                }
            }
            L::store_float(sum, out.add(at * channels + first));
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
