//! llama.
