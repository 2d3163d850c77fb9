//! A safetensors checkpoint: its header, and the values of the first tensors.
#![no_main]

use emotion_llama_fuzz::checkpoint::open_and_read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| open_and_read(data));
