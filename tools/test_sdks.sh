#!/usr/bin/env bash
# Runs tools/test_sdk_LANGUAGE.sh for each language named and prints a table of the conformance cases: test_sdks.sh LANGUAGE…
# A language whose toolchain is missing says SKIPPED and has no column.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
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
