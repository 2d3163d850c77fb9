#!/usr/bin/env bash
# Makes build/dist/emotion-llama-VERSION-linux-MACHINE.tar.gz, which works wherever it is unpacked: dist.sh BUILT
# BUILT is the directory in which cargo put the library. The same build gives the same bytes.
# dist.sh ffmpeg only builds the FFmpeg for it, which can be done before there is a library.
set -euo pipefail
if [ $# -ne 1 ]; then
    echo "usage: $0 BUILT" >&2
    exit 2
fi
[ "$1" = ffmpeg ] || built=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
root=$PWD
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
machine=$(uname -m)
name=emotion-llama-$version-linux-$machine
# The oldest C library that Rust's own standard library supports on Linux.
glibc=2.17
dist=$root/build/dist
mkdir -p "$dist/tools"

# zig is a C compiler that links against the C library of a chosen version.
zig=$(build/venv/bin/python -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
tool() {
    printf '#!/bin/sh\nexec %q %s "$@"\n' "$zig" "$2" >"$dist/tools/$1"
    chmod +x "$dist/tools/$1"
}
tool zig-cc "cc -target $machine-linux-gnu.$glibc -fno-sanitize=all"
tool zig-ar ar
tool zig-ranlib ranlib
export PATH=$dist/tools:$PATH CC=zig-cc AR=zig-ar RANLIB=zig-ranlib STAMP="zig $("$zig" version) glibc $glibc"
export ZIG_GLOBAL_CACHE_DIR=$root/build/zig-cache ZIG_LOCAL_CACHE_DIR=$root/build/zig-cache

ffmpeg=$(bash tools/build_ffmpeg.sh)
[ "$1" != ffmpeg ] || exit 0
scratch=$(mktemp -d "$dist/.making.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
stage=$scratch/$name
bash tools/install_library.sh "$built" "$stage" "$ffmpeg" >/dev/null
bash tools/check_glibc.sh "$glibc" "$stage"/lib/*.so.* >&2

doc=$stage/share/doc/emotion-llama
# Those of the other languages come with their packages.
mkdir "$stage/examples"
cp -r examples/CMakeLists.txt examples/c examples/cpp "$stage/examples/"
cp docs/c.md "$doc/"
cp -r "$ffmpeg/doc" "$doc/ffmpeg"
cp tools/build_ffmpeg.sh "$doc/ffmpeg/"
build/venv/bin/python tools/crate_licenses.py emotion-llama-ffi "$doc/crates"

# Links are kept; names, owners, times and rights do not tell when and where it was made.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$epoch" --mode='u=rwX,go=rX' \
    -C "$scratch" -c "$name" | gzip -9n >"$scratch/tarball"
mv -f "$scratch/tarball" "$dist/$name.tar.gz"
# Who hands out the tarball hands out FFmpeg's source with it.
rm -rf "$dist/ffmpeg-source"
cp -r "$ffmpeg/source" "$dist/ffmpeg-source"
(cd "$dist" && sha256sum "$name.tar.gz")
