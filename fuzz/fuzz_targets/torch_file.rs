//! A file of `torch.save`: the zip container, and the form before torch 1.6.
#![no_main]

use emotion_llama_fuzz::checkpoint::open_and_read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| open_and_read(data));
