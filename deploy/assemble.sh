#!/usr/bin/env bash
# Puts the server with a model into one directory that can be moved: assemble.sh BUILT PACK OUTPUT [FFMPEG]
# BUILT is the directory in which cargo put the command, PACK the model's directory. With FFMPEG (a directory of tools/build_ffmpeg.sh) its
# libraries are put into OUTPUT/lib, for which LD_LIBRARY_PATH is then set; otherwise the machine's are used.
set -euo pipefail
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    echo "usage: $0 BUILT PACK OUTPUT [FFMPEG]" >&2
    exit 2
fi
built=$1
pack=$2
output=$3
ffmpeg=${4:-}
root=$(cd "$(dirname "$0")/.." && pwd)
[ -f "$pack/pack.json" ] || { echo "$pack has no pack.json; run: make pack" >&2; exit 1; }
mkdir -p "$output"
output=$(cd "$output" && pwd)
doc=$output/share/doc/emotion-llama
packs=$output/share/emotion-llama/packs

mkdir -p "$output/bin" "$packs" "$doc"
# Under another name first: a program that runs keeps the file that it was started from.
strip --strip-debug -o "$output/bin/.emotion-llama.new" "$built/emotion-llama"
chmod 755 "$output/bin/.emotion-llama.new"
mv -f "$output/bin/.emotion-llama.new" "$output/bin/emotion-llama"
install -m 755 "$root/deploy/probe.sh" "$output/bin/emotion-llama-probe"

name=$(basename "$pack")
rm -rf "$packs/.new"
cp -rL "$pack" "$packs/.new"
rm -rf "${packs:?}/$name"
mv "$packs/.new" "$packs/$name"

if [ -n "$ffmpeg" ]; then
    mkdir -p "$output/lib"
    for library in "$ffmpeg"/lib/lib*.so.*; do
        own=$(basename "$library")
        install -m 755 "$library" "$output/lib/$own"
        # cargo linked the command against the machine's FFmpeg, which has the same libraries under their usual names.
        ln -sf "$own" "$output/lib/${own/-emotionllama/}"
    done
    rm -rf "$doc/ffmpeg"
    cp -r "$ffmpeg/doc" "$doc/ffmpeg"
    cp "$root/tools/build_ffmpeg.sh" "$doc/ffmpeg/"
fi
cp -f "$root/LICENSE" "$root/THIRD_PARTY.md" "$doc/"
(cd "$root" && "${PYTHON:-build/venv/bin/python}" tools/crate_licenses.py emotion-llama-cli "$doc/crates")
chmod -R u=rwX,go=rX "$output"
echo "the server is in $output"
