#!/usr/bin/env bash
# Runs the benchmark suite with its peers. BENCH=llm|encoders|media|pipeline|all (default all), BENCH_JSON=FILE and BENCH_MARKDOWN=FILE for what is
# measured, BENCH_ROUNDS=9, BENCH_THREADS=2. The peers come from PyPI and npm, each part's own, into build/bench; llama.cpp is compiled for this processor.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${BENCH:-all}
venv=build/bench/venv

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
  CMAKE_ARGS="-DGGML_NATIVE=ON" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-binary llama-cpp-python -r "$wanted"
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
