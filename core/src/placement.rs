//! Where models compute: on the processor, or on a graphics processor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Where an engine is to compute. Written as `auto`, `cpu`, `cuda:1` or `cuda:GPU-…`, see [`Placement::from_str`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Placement {
    /// On the first graphics processor that can be used, or else on the processor.
    #[default]
    Auto,
    /// On the processor.
    Cpu,
    /// On this graphics processor, and nowhere else.
    Cuda(Gpu),
}

/// Which graphics processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpu {
    /// By its number among those that CUDA shows to this process, from 0 on.
    Index(usize),
    /// By its UUID, as `nvidia-smi -L` prints it, for example `GPU-2f2e1c1f-5d2b-4a58-9c6c-0f3f6f2d9a11`; case does not matter.
    Uuid(String),
}

/// A graphics processor of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its number, from 0 on.
    pub index: usize,
    /// Its UUID, with `GPU-` in front.
    pub uuid: String,
    /// What its maker calls it.
    pub name: String,
    /// Its memory in bytes.
    pub memory: u64,
    /// Its compute capability, for example (9, 0).
    pub capability: (u32, u32),
}

impl Gpu {
    /// Whether `info` is the one that is meant.
    pub fn is(&self, info: &GpuInfo) -> bool {
        match self {
            Gpu::Index(index) => *index == info.index,
            Gpu::Uuid(uuid) => uuid.eq_ignore_ascii_case(&info.uuid),
        }
    }
}

impl FromStr for Placement {
    type Err = Error;

    /// Reads `auto`, `cpu`, `cuda`, `cuda:1` or `cuda:GPU-…`; `cuda` is `cuda:0`.
    ///
    /// # Errors
    /// `invalid_argument` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid_argument(format!(
                "there is no device {text:?}; give auto, cpu, cuda, cuda:NUMBER or cuda:UUID"
            ))
        };
        match text.split_once(':') {
            None if text == "auto" => Ok(Placement::Auto),
            None if text == "cpu" => Ok(Placement::Cpu),
            None if text == "cuda" => Ok(Placement::Cuda(Gpu::Index(0))),
            Some(("cuda", which)) if which.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("GPU-")) => {
                let is_uuid = which.len() > 4 && which.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                is_uuid.then(|| Placement::Cuda(Gpu::Uuid(which.to_owned()))).ok_or_else(bad)
            }
            Some(("cuda", which)) if !which.is_empty() && which.bytes().all(|byte| byte.is_ascii_digit()) => {
                which.parse().map(|index| Placement::Cuda(Gpu::Index(index))).map_err(|_| bad())
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Placement {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.to_string()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Auto => f.write_str("auto"),
            Placement::Cpu => f.write_str("cpu"),
            Placement::Cuda(Gpu::Index(index)) => write!(f, "cuda:{index}"),
            Placement::Cuda(Gpu::Uuid(uuid)) => write!(f, "cuda:{uuid}"),
        }
    }
}

/// The graphics processors that can be used, by number.
///
/// # Errors
/// Why there are none, in a sentence: the build has no CUDA, there is no driver, or there is no device.
pub fn gpus() -> Result<Vec<GpuInfo>, String> {
    #[cfg(feature = "cuda")]
    return crate::cuda::devices::list();
    #[cfg(not(feature = "cuda"))]
    Err("this build computes on the processor only: it was made without the feature `cuda`".to_owned())
}

impl Placement {
    /// The graphics processor that is meant; None for the processor.
    ///
    /// # Errors
    /// `not_found` if one was asked for and is not there, with the reason and what there is.
    pub fn resolve(&self) -> Result<Option<GpuInfo>> {
        self.resolve_among(if *self == Placement::Cpu { Ok(Vec::new()) } else { gpus() })
    }

    fn resolve_among(&self, found: Result<Vec<GpuInfo>, String>) -> Result<Option<GpuInfo>> {
        match (self, found) {
            (Placement::Cpu, _) => Ok(None),
            (Placement::Auto, Ok(found)) => Ok(found.into_iter().next()),
            (Placement::Auto, Err(reason)) => {
                tracing::debug!(reason, "no graphics processor is used");
                Ok(None)
            }
            (Placement::Cuda(_), Err(reason)) => Err(Error::new(
                ErrorKind::NotFound,
                format!("{self} cannot be used: {reason}; give the device cpu or auto"),
            )),
            (Placement::Cuda(wanted), Ok(found)) => {
                let known =
                    found.iter().map(|gpu| format!("cuda:{} ({})", gpu.index, gpu.uuid)).collect::<Vec<_>>().join(", ");
                let meant = found.into_iter().find(|gpu| wanted.is(gpu));
                meant.map(Some).ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("there is no {self} on this machine, which has {known}"))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: usize, uuid: &str) -> GpuInfo {
        GpuInfo { index, uuid: uuid.to_owned(), name: "a device".to_owned(), memory: 1 << 30, capability: (9, 0) }
    }

    #[test]
    fn devices_are_read_and_written() {
        for (text, written) in [
            ("auto", "auto"),
            ("cpu", "cpu"),
            ("cuda", "cuda:0"),
            ("cuda:3", "cuda:3"),
            ("cuda:GPU-2f2e-9a", "cuda:GPU-2f2e-9a"),
            ("cuda:gpu-2F2E", "cuda:gpu-2F2E"),
        ] {
            assert_eq!(text.parse::<Placement>().unwrap().to_string(), written);
        }
        for text in [
            "",
            "gpu",
            "CPU",
            "cuda:",
            "cuda:-1",
            "cuda:x",
            "cuda:GPU-",
            "cuda:GPU-a b",
            "cuda:99999999999999999999",
            "cpu:0",
            "cuda:é",
            " cpu",
        ] {
            assert_eq!(text.parse::<Placement>().unwrap_err().name(), "invalid_argument", "{text:?}");
        }
    }

    #[test]
    fn the_device_that_is_meant_is_found() {
        let found = || Ok(vec![gpu(0, "GPU-aa"), gpu(1, "GPU-bb")]);
        let index = |placement: &str| {
            placement.parse::<Placement>().unwrap().resolve_among(found()).unwrap().map(|gpu| gpu.index)
        };
        assert_eq!(index("cpu"), None);
        assert_eq!(index("auto"), Some(0));
        assert_eq!(index("cuda:1"), Some(1));
        assert_eq!(index("cuda:gpu-BB"), Some(1));
        for missing in ["cuda:2", "cuda:GPU-cc"] {
            let error = missing.parse::<Placement>().unwrap().resolve_among(found()).unwrap_err();
            assert_eq!(error.name(), "not_found");
            assert!(error.message.contains("cuda:1 (GPU-bb)"), "{error}");
        }
    }

    #[test]
    fn without_a_device_auto_is_the_processor_and_a_named_one_is_an_error_with_the_reason() {
        let none = || Err("there is no driver".to_owned());
        assert_eq!(Placement::Auto.resolve_among(none()).unwrap(), None);
        assert_eq!(Placement::Auto.resolve_among(Ok(Vec::new())).unwrap(), None);
        let error = Placement::Cuda(Gpu::Index(0)).resolve_among(none()).unwrap_err();
        assert_eq!(error.name(), "not_found");
        assert!(error.message.contains("there is no driver"), "{error}");
    }
}
