//! The graphics processors that CUDA shows to this process.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use cudarc::driver::{result, sys, CudaContext, DriverError};

use super::libraries;
use crate::device::{DType, Device, Place};
use crate::error::Error;
use crate::placement::GpuInfo;

/// The oldest compute capability that the kernels are compiled for.
const OLDEST: (u32, u32) = (7, 5);

/// The graphics processors that can be used, by number.
///
/// # Errors
/// Why there are none, in a sentence.
pub fn list() -> Result<Vec<GpuInfo>, String> {
    libraries::load()?;
    // The driver's binding panics at answers that it does not know.
    catch_unwind(AssertUnwindSafe(found))
        .unwrap_or_else(|_| Err("the NVIDIA driver gave an answer that is not known".to_owned()))
}

fn found() -> Result<Vec<GpuInfo>, String> {
    let said = |error: DriverError| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => "there is an NVIDIA driver, but no device that it can use".to_owned(),
        sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the NVIDIA driver was updated while it ran; restart the machine".to_owned()
        }
        code => format!("the NVIDIA driver cannot be used: {code:?}"),
    };
    result::init().map_err(said)?;
    let count = usize::try_from(result::device::get_count().map_err(said)?).unwrap_or(0);
    let mut old = Vec::new();
    let mut devices = Vec::new();
    for index in 0..count {
        let info = info(index).map_err(said)?;
        if info.capability < OLDEST {
            old.push(format!("{} has compute capability {}.{}", info.name, info.capability.0, info.capability.1));
        } else {
            devices.push(info);
        }
    }
    if devices.is_empty() {
        return Err(match old.first() {
            Some(old) => format!("{old}, which is too old: {}.{} is the least", OLDEST.0, OLDEST.1),
            None => "there is an NVIDIA driver, but no device".to_owned(),
        });
    }
    Ok(devices)
}

#[allow(unsafe_code, reason = "the driver is asked directly: a context would take memory on every device")]
fn info(index: usize) -> Result<GpuInfo, DriverError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let device = result::device::get(i32::try_from(index).unwrap_or(i32::MAX))?;
    // SAFETY: the driver was initialised, and gave the device.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let capability = (attribute(MAJOR)?.unsigned_abs(), attribute(MINOR)?.unsigned_abs());
    // SAFETY: likewise.
    let memory = unsafe { result::device::total_mem(device) }? as u64;
    let uuid = result::device::get_uuid(device)?;
    Ok(GpuInfo {
        index,
        uuid: written(&uuid.bytes.map(|byte| byte as u8)),
        name: result::device::get_name(device)?,
        memory,
        capability,
    })
}

/// Where the models of an engine on `gpu` compute. In f16, as the published model did: every device that the kernels are for has it.
///
/// # Errors
/// `out_of_memory` and `unreachable`, as the driver says.
pub fn place(gpu: &GpuInfo) -> crate::error::Result<Place> {
    let device = catch_unwind(|| Device::new_cuda(gpu.index))
        .unwrap_or_else(|_| Err(candle_core::Error::Msg("the NVIDIA driver could not be started".to_owned())));
    device.map_err(Error::from).and_then(|device| Place::new(device, DType::F16))
}

/// The primary context of the device of this number, which the models there are in, too.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn context(index: usize) -> Result<Arc<CudaContext>, String> {
    libraries::load()?;
    let context = catch_unwind(|| CudaContext::new(index));
    context.map_or_else(
        |_| Err("the NVIDIA driver could not be started".to_owned()),
        |context| context.map_err(|error| format!("the NVIDIA driver cannot be used: {error}")),
    )
}

/// A UUID as `nvidia-smi` writes it.
fn written(bytes: &[u8; 16]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex[range].concat();
    format!("GPU-{}-{}-{}-{}-{}", part(0..4), part(4..6), part(6..8), part(8..10), part(10..16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_in_five_parts() {
        let bytes = [0x2f, 0x2e, 0x1c, 0x1f, 0x5d, 0x2b, 0x4a, 0x58, 0x9c, 0x6c, 0x0f, 0x3f, 0x6f, 0x2d, 0x9a, 0x11];
        assert_eq!(written(&bytes), "GPU-2f2e1c1f-5d2b-4a58-9c6c-0f3f6f2d9a11");
    }

    #[test]
    fn a_machine_without_a_device_says_why() {
        match list() {
            Ok(devices) => assert!(!devices.is_empty()),
            Err(reason) => {
                assert!(reason.contains("driver") || reason.contains("CUDA") || reason.contains("old"), "{reason}")
            }
        }
    }
}
