#!/usr/bin/env bash
# Builds the fuzz targets with coverage counters, on the stable toolchain, and runs each from its seeds for a fixed number of executions.
# RUNS=20000: executions of each target. TARGETS="npy media": only these. SEED=1: another seed takes other paths.
# An input that fails is kept in fuzz/artifacts. See docs/fuzzing.md.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${RUNS:-20000}
seed=${SEED:-1}
targets=${TARGETS:-$(basename -s .rs -a fuzz/fuzz_targets/*.rs)}

echo "fuzz: building"
bins=()
for target in $targets; do bins+=(--bin "$target"); done
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --quiet --release --workspace --features emotion-llama-fuzz/fuzzing "${bins[@]}"

memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
scratch=$(mktemp -d "$memory/emotion-llama-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch RAYON_NUM_THREADS=1

fuzz() { # TARGET
  local target=$1 log=$scratch/$1.log found=$scratch/$1.found fixed="" reached
  mkdir -p "$found" "fuzz/artifacts/$target"
  # Addresses that differ from run to run would show in the coverage.
  if setarch -R true 2>/dev/null; then fixed="setarch -R"; fi
  # New inputs go to the first folder; the seeds stay as they are.
  if ! $fixed "target/release/$target" -seed="$seed" -runs="$runs" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -reload=0 \
    -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz: $target FAILED; run target/release/$target with the input named above" >&2
    return 1
  fi
  reached=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1)
  printf 'fuzz: %-23s %8d executions  %s  %s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$reached" \
    "$(grep -o 'in [0-9]* second' "$log" | tail -n 1)s"
}
export -f fuzz
export runs seed scratch

# One target for each processor at a time. `wait PID` is not used: where numbers of processes are few, the shell forgets one that comes again.
printf '%s\n' $targets | xargs -P "$(nproc)" -I TARGET bash -c 'set -euo pipefail; fuzz TARGET'
