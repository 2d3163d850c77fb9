#!/usr/bin/env bash
# Makes the NuGet packages in dist/csharp, of the binding and, where the mini pack was built, of the model: sdk_csharp.sh [NATIVE]
# NATIVE is a directory with libemotionllama.so.1 and its FFmpeg, in it or in its lib/; left out, what `make dist` made is unpacked.
# Needs mcs (Debian: mono-mcs) and Python 3.9.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v mcs >/dev/null; then
    echo "SKIPPED sdk-csharp: there is no mcs on this machine (Debian: apt-get install mono-mcs mono-runtime)"
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

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
printf '[assembly: System.Reflection.AssemblyVersion("%s.0")]\n' "$version" >"$scratch/Version.cs"
# The order of files is the order of types in the assembly.
mapfile -t sources < <(find bindings/csharp/src -name '*.cs' | LC_ALL=C sort)
compile() {
    mkdir -p "$scratch/$1"
    mcs -nologo -langversion:7 -optimize+ -unsafe -warnaserror -target:library "${@:2}" \
        -out:"$scratch/$1/EmotionLlama.dll" -doc:"$scratch/$1/EmotionLlama.xml" "${sources[@]}" "$scratch/Version.cs"
}
compile netstandard2.0
compile netstandard2.1 -define:NETSTANDARD2_1_OR_GREATER -define:RETARGET
python3 tools/sdk_csharp.py retarget "$scratch/netstandard2.1/EmotionLlama.dll"
# What lay there before is of another build.
rm -rf dist/csharp
python3 tools/sdk_csharp.py pack --built "$scratch" --native "$native" --out dist/csharp

pack=build/packs/emotion-llama-mini
if [ -e "$pack/pack.json" ]; then
    python3 tools/sdk_csharp.py model --pack "$pack" --out dist/csharp
else
    echo "sdk_csharp: the mini pack was not built, so there is no model package" >&2
fi
