//! The pickle of a checkpoint (`data.pkl`), in a zip container without fault, with storages "0" and "1".
#![no_main]

use emotion_llama_fuzz::checkpoint::{entry, open_and_read, zip};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    open_and_read(&zip(&[
        entry("archive/data.pkl", data),
        entry("archive/byteorder", b"little"),
        entry("archive/data/0", &[0x3c; 256]),
        entry("archive/data/1", &[0x3c; 16]),
    ]));
});
