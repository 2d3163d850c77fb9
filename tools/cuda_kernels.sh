#!/usr/bin/env bash
# Compiles every CUDA kernel for every architecture, with warnings as errors: cubins and PTX, and once as NVRTC would at run time. No GPU is
# needed. The compiler comes from PyPI. BUILD_CUDA names the directory for all of it, build/cuda if not set:
#   venv/                      the compiler
#   cubin/NAME.sm_NN.cubin     machine code
#   ptx/NAME.compute_NN.ptx    PTX
#   resources.md               registers, shared memory and spills of each kernel on each architecture
# Fails on any spill. A second run with the same sources finds it done.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${BUILD_CUDA:-build/cuda}
architectures=(75 80 86 89 90 100 120)
stop() { printf 'cuda_kernels: %s\n' "$*" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || stop "the compiler's packages are for Linux"
mkdir -p "$work"
requirements=$(sha256sum <tools/cuda/requirements.txt)
if [ "$(cat "$work/venv/installed" 2>/dev/null)" != "$requirements" ]; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r tools/cuda/requirements.txt
  echo "$requirements" >"$work/venv/installed"
fi
toolkit=$(echo "$work"/venv/lib/python3*/site-packages/nvidia/cu13)
nvcc=$toolkit/bin/nvcc
[ -x "$nvcc" ] || stop "no nvcc in $toolkit"
# Packages of Python lose the right to run.
chmod -R u+x "$toolkit/bin" "$toolkit/nvvm/bin"

stamp=$(cat core/kernels/*.cu core/kernels/*.cuh tools/cuda_kernels.sh tools/cuda/* | sha256sum)
if [ "$(cat "$work/compiled" 2>/dev/null)" = "$stamp" ]; then
  echo "cuda_kernels: $work is up to date"
  exit
fi
rm -rf "$work/compiled" "$work/cubin" "$work/ptx"
mkdir -p "$work/cubin" "$work/ptx"
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

flags=(-std=c++17 -O3 -Werror all-warnings -ccbin "${CXX:-c++}")
compile() { # SOURCE, for every architecture
  local name architecture
  name=$(basename "$1" .cu)
  for architecture in "${architectures[@]}"; do
    "$nvcc" "${flags[@]}" -cubin -arch="sm_$architecture" -Xptxas -v -Xptxas -warn-spills \
      -o "$work/cubin/$name.sm_$architecture.cubin" "$1" 2>"$said/$name" || {
      cat "$said/$name" >&2
      stop "$1 for sm_$architecture"
    }
    cat "$said/$name" >>"$said/$name.log"
    "$nvcc" "${flags[@]}" -ptx -arch="compute_$architecture" -o "$work/ptx/$name.compute_$architecture.ptx" "$1" ||
      stop "$1 for compute_$architecture"
  done
  echo "cuda_kernels: $name"
}
started=()
for source in core/kernels/*.cu; do
  compile "$source" &
  started+=("$!")
done
for job in "${started[@]}"; do wait "$job"; done
cat "$said"/*.log >"$work/ptxas.log"
"$work/venv/bin/python" tools/cuda/resources.py "$work/ptxas.log" "$work/resources.md" "${#architectures[@]}" core/kernels/*.cu
"$work/venv/bin/python" tools/cuda/nvrtc_compiles.py "$toolkit" core/kernels "${architectures[@]}"
echo "$stamp" >"$work/compiled"
