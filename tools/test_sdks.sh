#!/usr/bin/env bash
# Runs tools/test_sdk_LANGUAGE.sh for each language named and prints a table of the conformance cases: test_sdks.sh LANGUAGE…
# Two run at a time; what one says is shown when it is done. A language whose toolchain is missing says SKIPPED and has no column. What is asked of
# a server is answered by `emotion-llama serve`, and replayed where target/release has no such program.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# The address that a program says it listens at, once it does: address LOG.
address() {
    for _ in $(seq 300); do
        ! grep -q 'http://' "$1" || break
        sleep 0.1
    done
    sed -n 's/.*\(http:\/\/[0-9.:]*\).*/\1/p' "$1" | head -n 1
}
if [ -x target/release/emotion-llama ]; then
    work=$(mktemp -d)
    target/release/emotion-llama serve --port 0 --pack "${EMOTION_LLAMA_PACK:-build/packs/emotion-llama-mini}" 2>"$work/real" &
    real=$!
    url=$(address "$work/real")
    python3 conformance/server.py --forever --real "${url#http://}" >"$work/front" &
    front=$!
    trap 'kill "$real" "$front" 2>/dev/null; rm -rf "$logs" "$work"' EXIT
    EMOTION_LLAMA_SERVER=$(address "$work/front")
    export EMOTION_LLAMA_SERVER
    echo "server: $EMOTION_LLAMA_SERVER, which asks $url"
fi
language() {
    bash "tools/test_sdk_$1.sh" >"$logs/$1.log" 2>&1 || echo "$1" >>"$logs/failed"
    echo "== $1"
    cat "$logs/$1.log"
}
export logs
export -f language
printf '%s\n' "$@" | xargs -P 2 -I NAME bash -c 'language NAME' || echo SDKs >>"$logs/failed"
cat "$logs"/*.log | python3 conformance/table.py || echo conformance >>"$logs/failed"
grep -h '^SKIPPED' "$logs"/*.log || true
if [ -e "$logs/failed" ]; then
    echo "failed: $(paste -sd ' ' "$logs/failed")" >&2
    exit 1
fi
