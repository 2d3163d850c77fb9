#!/usr/bin/env bash
# Everything that is tested against `emotion-llama serve` as people run it. What a machine lacks is skipped, and said at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
for test in server http_clients page guide; do
    echo "== test_$test"
    began=$SECONDS
    bash "tools/test_$test.sh" 2>&1 | tee -a "$log" || failed+=("$test")
    echo "test_$test: $((SECONDS - began)) s"
done
grep -h '^SKIPPED' "$log" || true
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
