//! What errors of a device are called.

use candle_core::Error as CandleError;

use super::super::Placed;
use crate::error::{Error, ErrorKind};

/// As cudarc writes an error of the driver.
fn driver(text: &str) -> CandleError {
    CandleError::Cuda(format!("DriverError({text})").into())
}

#[test]
fn causes_are_told_apart() {
    let kind = |error: CandleError| Error::from(error).kind;
    assert_eq!(kind(driver("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"")), ErrorKind::OutOfMemory);
    assert_eq!(kind(driver("CUBLAS_STATUS_ALLOC_FAILED")), ErrorKind::OutOfMemory);
    assert_eq!(kind(driver("CUDA_ERROR_ILLEGAL_ADDRESS")), ErrorKind::Unreachable);
    assert_eq!(kind(driver("CUDA_ERROR_DEVICE_UNAVAILABLE").context("while reading")), ErrorKind::Unreachable);
    assert_eq!(kind(CandleError::Msg("shapes differ".to_owned())), ErrorKind::Internal);
    assert!(Error::from(driver("CUDA_ERROR_ECC_UNCORRECTABLE")).message.contains("ECC_UNCORRECTABLE"));
}

#[test]
fn only_a_lost_device_is_given_up() {
    let placed = Placed::new(1);
    assert_eq!(placed.run(|one| Ok(one + 1)).unwrap(), 2);
    for kind in [ErrorKind::OutOfMemory, ErrorKind::Cancelled, ErrorKind::Internal] {
        placed.run(|_| Err::<(), _>(Error::new(kind, "no"))).unwrap_err();
        assert!(placed.is_there(), "{kind}");
    }
    placed.run(|_| Err::<(), _>(Error::from(driver("CUDA_ERROR_LAUNCH_FAILED")))).unwrap_err();
    assert!(!placed.is_there());
}
