//! The kernels, on a device: as they were compiled with this library, or compiled there and then by NVRTC where the device takes nothing of that.

#![allow(unsafe_code, reason = "NVRTC is a C library")]

use std::ffi::{c_char, CStr, CString};
use std::ptr;
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaFunction, CudaModule, CudaStream, DriverError};
use cudarc::nvrtc::result::{compile_program, destroy_program, get_program_log, NvrtcError};
use cudarc::nvrtc::{sys, Ptx};

use super::libraries;
use crate::error::{Error, Result};

/// A file of `kernels/`.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Its name, without an ending.
    name: &'static str,
    /// For all processors, and PTX for newer ones.
    compiled: &'static [u8],
    source: &'static str,
}

/// One that `build.rs` has compiled.
macro_rules! module {
    ($name:literal) => {
        Module {
            name: $name,
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".fatbin")),
            source: include_str!(concat!("../../kernels/", $name, ".cu")),
        }
    };
}

/// `picture_batch`.
pub const PICTURE: Module = module!("picture");
/// Those of `sound_` and of `log_mel_`.
pub const AUDIO: Module = module!("audio");
/// `face_batch`.
#[cfg(test)]
pub const FACE: Module = module!("face");
/// Those of `difference_`.
#[cfg(test)]
pub const DIFFERENCE: Module = module!("difference");

/// What the sources include, by the names that they use.
const HEADERS: [(&CStr, &str); 3] = [
    (c"types.cuh", include_str!("../../kernels/types.cuh")),
    (c"parameters.cuh", include_str!("../../kernels/parameters.cuh")),
    (c"pixels.cuh", include_str!("../../kernels/pixels.cuh")),
];

/// A module on a device.
pub struct Kernels(Arc<CudaModule>);

impl Kernels {
    /// Loads `module` to where `stream` runs.
    ///
    /// # Errors
    /// `out_of_memory` and `unreachable`, as the driver says; `unreachable` too if NVRTC is needed and cannot help, with the reason.
    pub fn load(stream: &CudaStream, module: &Module) -> Result<Self> {
        let context = stream.context();
        let loaded = match context.load_module(Ptx::from_binary(module.compiled.to_vec())) {
            Err(DriverError(code)) if is_unfit(code) => {
                let capability = context.compute_capability().w()?;
                tracing::info!(module.name, ?code, ?capability, "the kernels are compiled for this GPU");
                let machine_code = machine_code(module, capability).map_err(|error| {
                    error.context(format_args!("{code:?}: the GPU does not take the kernel {}", module.name))
                })?;
                context.load_module(Ptx::from_binary(machine_code))
            }
            loaded => loaded,
        };
        Ok(Self(loaded.w()?))
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// `unreachable`, as the driver says.
    pub fn function(&self, name: &str) -> Result<CudaFunction> {
        Ok(self.0.load_function(name).w()?)
    }
}

/// Whether the driver says that what was compiled is not for this device, or for a newer driver.
fn is_unfit(code: CUresult) -> bool {
    matches!(
        code,
        CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
            | CUresult::CUDA_ERROR_INVALID_IMAGE
            | CUresult::CUDA_ERROR_INVALID_SOURCE
            | CUresult::CUDA_ERROR_INVALID_PTX
            | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | CUresult::CUDA_ERROR_JIT_COMPILER_NOT_FOUND
            | CUresult::CUDA_ERROR_JIT_COMPILATION_DISABLED
    )
}

/// `module` for a device of this compute capability, by NVRTC. Machine code and not PTX: where the driver does not compile PTX, or takes only
/// that of an older release, this is what it loads.
fn machine_code(module: &Module, (major, minor): (i32, i32)) -> Result<Vec<u8>> {
    libraries::load_compiler().map_err(Error::unreachable)?;
    let program = Program::new(module)?;
    program.compile(&[format!("--gpu-architecture=sm_{major}{minor}"), "--std=c++17".to_owned()])?;
    program.machine_code()
}

/// A program of NVRTC, which keeps copies of all texts.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(module: &Module) -> Result<Self> {
        let text = |text: &str| CString::new(text).map_err(|_| Error::internal("a kernel's source has a zero in it"));
        let (name, source) = (text(module.name)?, text(module.source)?);
        let texts = HEADERS.iter().map(|(_, header)| text(header)).collect::<Result<Vec<CString>>>()?;
        let texts = texts.iter().map(|text| text.as_ptr()).collect::<Vec<*const c_char>>();
        let names = HEADERS.map(|(name, _)| name.as_ptr());
        let mut program = ptr::null_mut();
        // SAFETY: all pointers are to strings that end with a zero and live until after the call; there are as many names as texts, and as
        // many as is said.
        let created = unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                source.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as i32,
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        created.result().map_err(failed)?;
        Ok(Self(program))
    }

    fn compile(&self, options: &[String]) -> Result<()> {
        // SAFETY: the program is there until `self` is dropped.
        let compiled = unsafe { compile_program(self.0, options) };
        compiled.map_err(|error| {
            // SAFETY: likewise.
            let log = unsafe { get_program_log(self.0) }.unwrap_or_default();
            let log: Vec<u8> = log.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
            let options = options.join(" ");
            Error::unreachable(format!("{error:?} with {options}: {}", String::from_utf8_lossy(&log).trim()))
        })
    }

    fn machine_code(&self) -> Result<Vec<u8>> {
        let mut length = 0;
        // SAFETY: the program is there until `self` is dropped, and the length is written to a number that outlives the call.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &mut length) }.result().map_err(failed)?;
        let mut code = vec![0u8; length];
        // SAFETY: likewise; what is written has the length that was just given.
        unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()) }.result().map_err(failed)?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: nobody has it any longer. That it was freed changes nothing for anyone, and neither does that it was not.
        let _ = unsafe { destroy_program(self.0) };
    }
}

fn failed(error: NvrtcError) -> Error {
    Error::unreachable(format!("NVRTC: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Module; 4] = [PICTURE, AUDIO, FACE, DIFFERENCE];

    /// NVRTC, which needs no GPU.
    fn compiler() -> bool {
        libraries::load_compiler().inspect_err(|reason| println!("SKIPPED: {reason}")).is_ok()
    }

    #[test]
    fn the_sources_that_are_carried_compile_to_machine_code() {
        if !compiler() {
            return;
        }
        for module in ALL {
            for capability in [(7, 5), (9, 0), (10, 3), (12, 1)] {
                let code = machine_code(&module, capability).unwrap();
                assert!(code.starts_with(b"\x7fELF"), "{} for {capability:?}", module.name);
                for line in module.source.lines().filter(|line| line.contains("__global__")) {
                    let name = line.split("(const").next().and_then(|before| before.split_whitespace().last()).unwrap();
                    let has_name = code.windows(name.len()).any(|bytes| bytes == name.as_bytes());
                    assert!(has_name, "{name} is not in what was made of {}", module.name);
                }
            }
        }
    }

    #[test]
    fn what_nvrtc_refuses_says_why() {
        if !compiler() {
            return;
        }
        let error = machine_code(&PICTURE, (99, 9)).unwrap_err();
        assert!(error.name() == "unreachable" && error.message.contains("sm_999"), "{error}");
        let broken = Module { source: "#include \"types.cuh\"\nint32_t no = nothing;\n", ..PICTURE };
        let error = machine_code(&broken, (9, 0)).unwrap_err();
        assert!(error.name() == "unreachable" && error.message.contains("nothing"), "{error}");
    }

    #[test]
    fn without_nvrtc_its_absence_is_the_reason() {
        if let Err(reason) = libraries::load_compiler() {
            let error = machine_code(&PICTURE, (9, 0)).unwrap_err();
            assert!(error.name() == "unreachable" && error.message.contains("nvrtc"), "{error}");
            assert_eq!(error.message, reason);
        }
    }

    #[test]
    fn nvrtc_is_asked_only_where_the_code_is_what_is_wrong() {
        use CUresult::*;
        for code in [CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_UNSUPPORTED_PTX_VERSION, CUDA_ERROR_INVALID_PTX] {
            assert!(is_unfit(code), "{code:?}");
        }
        for code in [CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_DEVICE_UNAVAILABLE, CUDA_ERROR_LAUNCH_FAILED] {
            assert!(!is_unfit(code), "{code:?}");
        }
    }
}
