#!/usr/bin/env bash
# Writes core/cuda/*.txt anew: the functions of NVIDIA's libraries that the compiled crate cudarc calls. After an update of cudarc; RLIB is the crate as
# cargo compiled it with the feature `cuda`, for example target/release/deps/libcudarc-….rlib.
set -euo pipefail
cd "$(dirname "$0")/../.."
rlib=${1:?"usage: tools/cuda/functions.sh RLIB"}
version=$(sed -n '/^name = "cudarc"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
names=$(nm -u "$rlib" 2>/dev/null | awk '{print $2}' | sort -u)
list() {
  {
    echo "# Functions of lib$1 that the crate cudarc $version calls; tools/cuda/functions.sh writes this list."
    grep -E "$2" <<<"$names"
  } >"core/cuda/$1.txt"
}
list cuda '^cu[A-Z]'
list nvrtc '^nvrtc'
list curand '^curand'
list cublas '^cublas([^L]|L[^t])'
list cublasLt '^cublasLt'
