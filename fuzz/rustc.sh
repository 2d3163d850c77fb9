#!/bin/sh
# RUSTC_WRAPPER: compiles this project's crates with coverage counters for libFuzzer, and all others as they are.
# The flags are those of `cargo fuzz --sanitizer none`.
for argument in "$@"; do
  case $previous$argument in
  --crate-nameemotion_llama_core | --crate-nameemotion_llama_fuzz) ours=1 ;;
  esac
  previous=$argument
done
[ -n "$ours" ] || [ -n "$CARGO_BIN_NAME" ] || exec "$@"
exec "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
