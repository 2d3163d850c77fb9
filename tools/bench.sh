#!/usr/bin/env bash
# Runs the benchmark suite with its peers. BENCH=llm|encoders|media|pipeline|all (default all), BENCH_JSON=FILE and BENCH_MARKDOWN=FILE for what is
# measured, BENCH_ROUNDS=9, BENCH_THREADS=2. The peers come from PyPI and npm, each part's own, into build/bench; llama.cpp is compiled for this processor.
# BENCH_ISA=avx2 measures all as on a processor that has no more than AVX2.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${BENCH:-all}
venv=build/bench/venv
compile=(-DGGML_NATIVE=ON)
install=(--quiet --disable-pip-version-check --no-binary llama-cpp-python)

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
pipeline) parts=() ;;
*)
  echo "bench: BENCH is '$part'; give llm, encoders, media, pipeline or all" >&2
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

options=("$part" --rounds "${BENCH_ROUNDS:-9}")
[ -z "${BENCH_JSON:-}" ] || options+=(--json "$BENCH_JSON")
[ -z "${BENCH_MARKDOWN:-}" ] || options+=(--markdown "$BENCH_MARKDOWN")
exec "$venv/bin/python" bench/suite "${options[@]}"
