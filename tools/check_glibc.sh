#!/usr/bin/env bash
# Fails when a library wants a newer glibc than the baseline, or any C++ library: check_glibc.sh BASELINE LIBRARY...
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 BASELINE LIBRARY..." >&2
    exit 2
fi
baseline=$1
shift
newest=0
failed=0
for library in "$@"; do
    symbols=$(objdump -T "$library")
    while read -r version; do
        newest=$(printf '%s\n' "$newest" "$version" | sort -V | tail -n 1)
        if [ "$(printf '%s\n' "$baseline" "$version" | sort -V | tail -n 1)" != "$baseline" ]; then
            echo "$library wants GLIBC_$version, and the baseline is $baseline:" >&2
            grep -F "GLIBC_$version)" <<<"$symbols" >&2 || true
            failed=1
        fi
    done < <(grep -o 'GLIBC_[0-9][0-9.]*' <<<"$symbols" | sed 's/^GLIBC_//' | sort -Vu)
    if grep -E 'GLIBCXX|CXXABI|GLIBC_PRIVATE' <<<"$symbols" >&2; then
        echo "$library wants what the baseline does not promise (above)" >&2
        failed=1
    fi
done
[ "$failed" = 0 ] || exit 1
echo "no symbol above GLIBC_$newest (baseline $baseline)"
