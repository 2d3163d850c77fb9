#!/usr/bin/env bash
# What can be shown of CUDA without a GPU: the kernels compile for every architecture without a warning or a spill, the workspace type-checks with the
# feature, NVRTC compiles the sources that the library carries, and what is built with the feature needs no CUDA library and works on the processor. The
# compiler comes from PyPI, see tools/cuda_kernels.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${BUILD_CUDA:-build/cuda}
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "SKIPPED what can be shown of CUDA: it was prepared for Linux on x86-64"; exit 0; }
bash tools/cuda_kernels.sh
. tools/cuda/environment.sh

cargo clippy --release --workspace --all-targets --features emotion-llama-core/cuda,emotion-llama-bench/cuda -- -D warnings
# NVRTC compiles what the library carries; it needs no GPU, and lies beside the compiler.
LD_LIBRARY_PATH="$toolkit/lib" cargo test --release --workspace --features emotion-llama-core/cuda --lib -- cuda:: --nocapture |
  tee "$work/tested.txt"
if grep -q 'SKIPPED.*nvrtc' "$work/tested.txt"; then
  echo "check_cuda: NVRTC was not found in $toolkit/lib" >&2
  exit 1
fi
cargo test --release --workspace --features emotion-llama-core/cuda --test parity_cuda
cargo build --release --workspace --features emotion-llama-core/cuda
mkdir -p "$work/built"
cp target/release/emotion-llama target/release/libemotionllama.so "$work/built/"
# The programs without CUDA lie at their places again for whoever comes next.
env -u NVCC -u CUDA_COMPUTE_CAP -u CUDARC_CUDA_VERSION cargo build --release --workspace

for file in "$work"/built/*; do
  if readelf -d "$file" | grep -E 'NEEDED.*lib(cuda|cudart|cublas|cublasLt|curand|nvrtc)\.'; then
    echo "check_cuda: $file needs a library of CUDA" >&2
    exit 1
  fi
done
pack=build/packs/emotion-llama-mini
clip=build/clips/1001_DFA_ANG_XX.flv
"$work/built/emotion-llama" doctor --pack "$pack" | tee "$work/doctor.txt"
grep -E '^(ok|none) +GPU +' "$work/doctor.txt" >/dev/null
"$work/built/emotion-llama" analyze "$clip" --pack "$pack" --device cpu --json >"$work/cuda.json"
target/release/emotion-llama analyze "$clip" --pack "$pack" --json >"$work/plain.json"
python3 - "$work/cuda.json" "$work/plain.json" <<'PY'
import json, sys
answers = [json.load(open(path)) for path in sys.argv[1:]]
for answer in answers:
    for clock in ("timings_ms", "time_to_label_ms"):
        answer.pop(clock)
assert answers[0] == answers[1], "the build with CUDA answers otherwise on the processor"
PY
if grep -q '^none' "$work/doctor.txt"; then
  if "$work/built/emotion-llama" analyze "$clip" --pack "$pack" --device cuda 2>"$work/refused.txt"; then
    echo "check_cuda: a device that is not there was used" >&2
    exit 1
  fi
  grep -q 'not_found' "$work/refused.txt"
fi
echo "check_cuda: done"
