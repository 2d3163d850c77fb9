#!/usr/bin/env bash
# Makes the npm packages in dist/node: sdk_node.sh [NATIVE]
# NATIVE is a directory with libemotionllama.so.1 and its FFmpeg, in it or in its lib/; left out, what `make dist` made is unpacked.
#   emotion-llama-sdk               the client, JavaScript alone
#   @emotion-llama/linux-x64-gnu    what it calls: the native part, the library, FFmpeg
#   @emotion-llama/model-mini       the built-in model
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null; then
    echo "SKIPPED sdk-node: there is no Node 18 or later with npm on this machine"
    exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "SKIPPED sdk-node: there is no package for $(uname -sm) yet"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $# -ge 1 ]; then
    native=$(cd "$1" && pwd)
else
    tarball=$(find build/dist -maxdepth 1 -name "emotion-llama-*-linux-$(uname -m).tar.gz" 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$tarball" ]; then
        echo "no library to put in: run \`make dist\`, or name its directory: $0 NATIVE" >&2
        exit 1
    fi
    mkdir "$scratch/native"
    tar xzf "$tarball" -C "$scratch/native" --strip-components=1
    native=$scratch/native
fi
libraries=$native
[ ! -d "$native/lib" ] || libraries=$native/lib
if [ ! -f "$libraries/libemotionllama.so.1" ]; then
    echo "$libraries/libemotionllama.so.1 is not there" >&2
    exit 1
fi
pack=${EMOTION_LLAMA_PACK:-build/packs/emotion-llama-mini}
python=$root/build/venv/bin/python
[ -x "$python" ] || python=python3

# zig links against an old C library, so that the package works on older machines; without it, this machine's is the oldest.
glibc=2.28
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))' 2>/dev/null || true)
if [ -n "$zig" ]; then
    printf '#!/bin/sh\nexec %q cc -target x86_64-linux-gnu.%s "$@"\n' "$zig" "$glibc" >"$scratch/linker"
    chmod +x "$scratch/linker"
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$scratch/linker
    export ZIG_GLOBAL_CACHE_DIR=$root/build/zig-cache ZIG_LOCAL_CACHE_DIR=$root/build/zig-cache
fi
built=$root/bindings/node/native/target/package
cargo build --quiet --release --locked --manifest-path bindings/node/native/Cargo.toml --target x86_64-unknown-linux-gnu --target-dir "$built"

sdk=$scratch/sdk platform=$scratch/platform model=$scratch/model
mkdir -p "$sdk" "$platform/licenses" "$model/packs"
cp -r bindings/node/{package.json,README.md,lib,bin} LICENSE "$sdk/"

cp "$built/x86_64-unknown-linux-gnu/release/libemotion_llama_node.so" "$platform/emotion_llama.node"
# npm keeps no links: each library lies under the name by which it is looked for.
for library in "$libraries"/lib*.so.[0-9]*; do
    [[ $library =~ \.so\.[0-9]+$ ]] || continue
    cp -L "$library" "$platform/"
done
if [ -n "$zig" ]; then
    bash tools/check_glibc.sh "$glibc" "$platform/emotion_llama.node" >&2
fi
cp LICENSE THIRD_PARTY.md "$platform/"
(cd bindings/node/native && "$python" "$root/tools/crate_licenses.py" emotion-llama-node "$platform/licenses/node")
# Licences of the library's crates and of FFmpeg, with how it was built.
for part in crates ffmpeg; do
    if [ -d "$native/share/doc/emotion-llama/$part" ]; then
        cp -r "$native/share/doc/emotion-llama/$part" "$platform/licenses/$part"
    else
        echo "sdk-node: $native has no $part/ in share/doc/emotion-llama: its licences are not in this package; do not publish it" >&2
    fi
done

cp -rL "$pack" "$model/packs/emotion-llama-mini"
# The builder leaves its stamp.
find "$model/packs" -name ".*" -type f -delete
cp LICENSE THIRD_PARTY.md "$model/"
cp packs/mini/MODEL_CARD.md "$model/README.md"
printf '# @emotion-llama/linux-x64-gnu\n\nThe native part of `emotion-llama-sdk` for Linux on x86-64 with glibc. It is installed with that package.\n' >"$platform/README.md"
node tools/sdk_node.mjs "$sdk" "$platform" "$model"

# What lay there before is of another build.
rm -rf dist/node
mkdir -p dist/node
for package in "$sdk" "$platform" "$model"; do
    (cd "$package" && npm pack --silent --pack-destination "$root/dist/node" >/dev/null)
done
ls -l dist/node | awk 'NR > 1 { printf "%6.1f MB  dist/node/%s\n", $5 / 1e6, $9 }'
