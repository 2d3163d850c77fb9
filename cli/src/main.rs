//! The `emotion-llama` command.
fn main() {}
