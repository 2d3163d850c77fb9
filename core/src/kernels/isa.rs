//! Which instruction set the hot loops run with.

use std::sync::OnceLock;

/// The environment variable that lowers what [`Isa::detect`] chooses: the name of a set, see [`Isa::name`]. It is read once, when the first loop runs.
pub const MAX_ISA_VARIABLE: &str = "EMOTION_LLAMA_MAX_ISA";

/// Which build of the hot loops runs; the later ones need more of the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, any CPU.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI, and what `Avx2` has.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// aarch64, all of which has NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// The best that this CPU has and [`MAX_ISA_VARIABLE`] allows. A value of that which is no name is passed over with a warning.
    pub fn detect() -> Self {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let best = Self::best();
            let Some(wanted) = std::env::var_os(MAX_ISA_VARIABLE).filter(|wanted| !wanted.is_empty()) else {
                return best;
            };
            match wanted.to_str().and_then(|wanted| best.at_most(wanted)) {
                Some(isa) => isa,
                None => {
                    tracing::warn!(?wanted, "{MAX_ISA_VARIABLE} is not {}; it is passed over", NAMES.join(", "));
                    best
                }
            }
        })
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
        }
    }

    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            let wide = wide && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni");
            return if wide { Isa::Avx512 } else { Isa::Avx2 };
        }
        #[cfg(target_arch = "aarch64")]
        let common = Isa::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        let common = Isa::Portable;
        common
    }

    /// The set of this name if this one is no less, else this one; `None` where the name is unknown.
    fn at_most(self, name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Isa::Portable),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Some(self.min(Isa::Avx2)),
            // Of another kind of processor, or the most there is: no limit. So one setting serves a mixed fleet.
            name => NAMES.contains(&name).then_some(self),
        }
    }
}

/// What [`MAX_ISA_VARIABLE`] may say, on any processor.
const NAMES: [&str; 4] = ["portable", "avx2", "avx512", "neon"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lowers_and_never_raises() {
        let best = Isa::best();
        assert_eq!(best.at_most("portable"), Some(Isa::Portable));
        assert_eq!(Isa::Portable.at_most("avx2"), Some(Isa::Portable));
        assert_eq!((best.at_most("avx512"), best.at_most("neon")), (Some(best), Some(best)));
        assert_eq!((best.at_most("AVX2"), best.at_most("sse")), (None, None));
        assert!(Isa::detect() <= best);
        #[cfg(target_arch = "x86_64")]
        assert_eq!((Isa::Avx512.at_most("avx2"), Isa::Avx512.at_most("avx512")), (Some(Isa::Avx2), Some(Isa::Avx512)));
    }
}
