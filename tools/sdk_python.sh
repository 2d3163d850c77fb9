#!/usr/bin/env bash
# Makes the Python wheels in dist/python: sdk_python.sh [NATIVE]
# NATIVE is a directory with libemotionllama.so.1 and its FFmpeg, in it or in its lib/; left out, what `make dist` made is unpacked.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
    echo "SKIPPED sdk-python: there is no Python 3.9 or later on this machine"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $# -ge 1 ]; then
    native=$1
else
    tarball=$(find build/dist -maxdepth 1 -name "emotion-llama-*-linux-$(uname -m).tar.gz" 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$tarball" ]; then
        echo "no library to put in: run \`make dist\`, or name its directory: $0 NATIVE" >&2
        exit 1
    fi
    tar xzf "$tarball" -C "$scratch" --strip-components=1
    native=$scratch
fi
# What lay there before is of another build.
rm -rf dist/python
python3 tools/sdk_python.py --native "$native" --pack "${EMOTION_LLAMA_PACK:-build/packs/emotion-llama-mini}" --out dist/python
