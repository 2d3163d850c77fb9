//! Inner loops over channels, compiled once for the baseline and once for AVX2, chosen at run time.

#![allow(unsafe_code, reason = "vector kernels chosen at run time")]

/// Which instruction set the loops use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// What every processor of the target has.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    /// The best that this processor can do.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
        Level::Baseline
    }
}

/// One tap of a depthwise convolution for a run of output pixels: `out[p, c] += x[p * step, c] * w[c]`.
///
/// `out` is `[pixels, channels]`; `x` starts at the first input pixel, `step` pixels apart.
pub(super) fn depthwise_tap(level: Level, out: &mut [f32], x: &[f32], w: &[f32], pixels: usize, step: usize) {
    match level {
        Level::Baseline => tap(out, x, w, pixels, step),
        // SAFETY: `Level::Avx2` is only made by `Level::detect`, which has seen that the processor has AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { tap_avx2(out, x, w, pixels, step) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tap_avx2(out: &mut [f32], x: &[f32], w: &[f32], pixels: usize, step: usize) {
    tap(out, x, w, pixels, step);
}

#[inline(always)]
fn tap(out: &mut [f32], x: &[f32], w: &[f32], pixels: usize, step: usize) {
    let channels = w.len();
    for p in 0..pixels {
        let from = p * step * channels;
        let (out, x) = (&mut out[p * channels..(p + 1) * channels], &x[from..from + channels]);
        for ((o, &x), &w) in out.iter_mut().zip(x).zip(w) {
            *o += x * w;
        }
    }
}
