#!/usr/bin/env bash
# Runs tools/test_sdk_LANGUAGE.sh for each language named and prints a table of the conformance cases: test_sdks.sh LANGUAGE…
# A language whose toolchain is missing says SKIPPED and has no column. What is asked of a server is answered by `emotion-llama serve`, and replayed
# where target/release has no such program.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
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
    trap 'kill "$real" "$front" 2>/dev/null; rm -rf "$log" "$work"' EXIT
    EMOTION_LLAMA_SERVER=$(address "$work/front")
    export EMOTION_LLAMA_SERVER
    echo "server: $EMOTION_LLAMA_SERVER, which asks $url"
fi
for language in "$@"; do
    echo "== $language"
    bash "tools/test_sdk_$language.sh" 2>&1 | tee -a "$log" || failed+=("$language")
done
python3 conformance/table.py <"$log" || failed+=(conformance)
grep -h '^SKIPPED' "$log" || true
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
