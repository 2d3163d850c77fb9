#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER: compiles the core and the fuzz targets with coverage counters for libFuzzer, where overflow panics; build scripts as they are.
# The flags are those of `cargo fuzz --sanitizer none`. cargo keeps what this compiles apart from the workspace's own build.
for argument in "$@"; do
  case $previous$argument in
  --crate-nameemotion_llama_core | --crate-nameemotion_llama_fuzz) ours=1 ;;
  esac
  previous=$argument
done
[ -n "$ours" ] || [ -n "$CARGO_BIN_NAME" ] || exec "$@"
exec "$@" --cfg fuzzing -Cdebug-assertions=on -Coverflow-checks=on -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
