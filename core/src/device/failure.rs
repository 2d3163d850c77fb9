//! What candle's errors are for our callers.

use candle_core::Error as CandleError;

use crate::error::{Error, ErrorKind};

/// How the driver and cuBLAS name a failed allocation.
const OUT_OF_MEMORY: [&str; 3] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory"];

impl From<CandleError> for Error {
    fn from(error: CandleError) -> Self {
        failure(&error)
    }
}

/// `out_of_memory` where the device has none left, `unreachable` for whatever else a GPU or its driver reports, else `internal`.
///
/// The causes are read from their text: their types exist in a build with CUDA only, and this must be tested without.
pub(super) fn failure(error: &CandleError) -> Error {
    let CandleError::Cuda(cause) = root(error) else {
        return Error::internal(format!("tensor operation failed: {error}"));
    };
    let names = format!("{cause:?} {cause}");
    if OUT_OF_MEMORY.iter().any(|name| names.contains(name)) {
        let message = "the GPU's memory ran out; ask for less at a time, free some of it, or compute on the CPU";
        return Error::new(ErrorKind::OutOfMemory, format!("{message} ({cause})"));
    }
    Error::unreachable(format!("the GPU failed, what follows is computed on the CPU: {cause}"))
}

/// The error without what was wrapped around it on its way.
fn root(error: &CandleError) -> &CandleError {
    match error {
        CandleError::WithBacktrace { inner, .. }
        | CandleError::Context { inner, .. }
        | CandleError::WithPath { inner, .. } => root(inner),
        other => other,
    }
}
