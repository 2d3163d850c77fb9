//! NumPy's `.npy` files. The first byte is the number of values that is asked for.
#![no_main]

use emotion_llama_core::npy;
use emotion_llama_fuzz::settle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&width, data)) = data.split_first() else { return };
    if let Some(values) = settle(npy::parse(data, width.into())) {
        assert_eq!(values.len(), usize::from(width));
        assert!(values.iter().all(|value| value.is_finite()));
    }
    settle(npy::parse(data, usize::MAX));
});
