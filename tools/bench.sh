#!/usr/bin/env bash
# Runs the benchmark suite with its peers. BENCH=llm|encoders|media|pipeline|sdks|cuda|all (default all, which is all but cuda), BENCH_JSON=FILE and
# BENCH_MARKDOWN=FILE for what is measured, BENCH_ROUNDS=9, BENCH_THREADS=2. The peers come from PyPI and npm, each part's own, into build/bench; llama.cpp is compiled for this processor.
# BENCH_ISA=avx2 measures all as on a processor that has no more than AVX2.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${BENCH:-all}
venv=build/bench/venv
compile=(-DGGML_NATIVE=ON)
install=(--quiet --disable-pip-version-check --no-binary llama-cpp-python)
program=target/release/emotion-llama-bench

case ${BENCH_ISA:-} in
"") ;;
avx2)
  venv=build/bench/venv-avx2
  compile=(-DGGML_NATIVE=OFF -DGGML_{SSE42,AVX,AVX2,FMA,F16C,BMI2}=ON -DGGML_{AVX512,AVX_VNNI}=OFF -DLLAVA_BUILD=OFF)
  # pip would take what it compiled for this processor before, or keep this for it.
  install+=(--no-cache-dir)
  export EMOTION_LLAMA_MAX_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 CT2_FORCE_CPU_ISA=AVX2
  ;;
*)
  echo "bench: BENCH_ISA is '$BENCH_ISA'; give avx2 or nothing" >&2
  exit 2
  ;;
esac
case $part in
all) parts=(llm encoders media) ;;
llm | encoders | media) parts=("$part") ;;
pipeline | sdks) parts=() ;;
cuda)
  python3 tools/cuda/has_gpu.py
  parts=(cuda)
  venv=build/bench/venv-cuda
  ;;
*)
  echo "bench: BENCH is '$part'; give llm, encoders, media, pipeline, sdks, cuda or all" >&2
  exit 2
  ;;
esac

mkdir -p build/bench
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
for name in ${parts[@]+"${parts[@]}"}; do
  wanted=tools/bench/$name.txt
  cmp -s "$wanted" "$venv/$name.txt" && continue
  echo "bench: installing the peers of $name" >&2
  CMAKE_ARGS="${compile[*]}" "$venv/bin/python" -m pip install "${install[@]}" -r "$wanted"
  cp "$wanted" "$venv/$name.txt"
done
if [[ " ${parts[*]-} " == *" media "* ]] && [ ! -d build/bench/node_modules ]; then
  echo "bench: installing face-api.js" >&2
  cp tools/bench/package.json build/bench/package.json
  npm install --prefix build/bench --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null
fi

if [ "$part" = all ] || [ "$part" = sdks ]; then
  bash tools/bench/sdks.sh build/bench/sdks
fi

if [ "$part" = cuda ]; then
  bash tools/cuda_kernels.sh
  program=build/cuda/built/emotion-llama-bench
  (
    . tools/cuda/environment.sh
    cargo build --release --workspace --features emotion-llama-bench/cuda
  )
  mkdir -p "$(dirname "$program")"
  cp target/release/emotion-llama-bench "$program"
  # The programs without CUDA lie at their places again for whoever comes next.
  cargo build --release --workspace
  # cuBLAS and cuRAND, which PyTorch's packages bring.
  libraries=$(echo "$PWD/$venv"/lib/python3*/site-packages/nvidia/cu13/lib)
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

export BENCH_PROGRAM=${BENCH_PROGRAM:-$PWD/$program}
options=("$part" --rounds "${BENCH_ROUNDS:-9}")
[ -z "${BENCH_JSON:-}" ] || options+=(--json "$BENCH_JSON")
[ -z "${BENCH_MARKDOWN:-}" ] || options+=(--markdown "$BENCH_MARKDOWN")
exec "$venv/bin/python" bench/suite "${options[@]}"
