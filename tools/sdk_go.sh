#!/usr/bin/env bash
# Makes the Go module in dist/go: sdk_go.sh [NATIVE]
# NATIVE is a directory with libemotionllama.so.1 and its FFmpeg, in it or in its lib/; left out, what `make dist` made is unpacked.
#   dist/go/proxy   the module and what it needs, as a Go module proxy lays them out: GOPROXY may be this directory
#   dist/go/native  the library, to be put beside a program
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v go >/dev/null || ! printf 'go1.24\n%s\n' "$(go env GOVERSION)" | sort -VC; then
    echo "SKIPPED sdk-go: there is no Go 1.24 or later on this machine"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $# -ge 1 ]; then
    native=$1
else
    tarball=$(find build/dist -maxdepth 1 -name "emotion-llama-*-linux-$(uname -m).tar.gz" 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$tarball" ]; then
        echo "no library to put beside it: run \`make dist\`, or name its directory: $0 NATIVE" >&2
        exit 1
    fi
    tar xzf "$tarball" -C "$scratch" --strip-components=1
    native=$scratch
fi
libraries=$native
if [ -d "$native/lib" ]; then
    libraries=$native/lib
fi
if [ ! -f "$libraries/libemotionllama.so.1" ]; then
    echo "$libraries/libemotionllama.so.1 is not there" >&2
    exit 1
fi

# What lay there before is of another build.
rm -rf dist/go
mkdir -p dist/go/native/lib
version=v$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
module=$(sed -n 's/^module //p' bindings/go/go.mod)
CGO_ENABLED=0 go run tools/sdk_go/main.go "$module" "$version" bindings/go LICENSE dist/go/proxy

# What it needs, as the ordinary client fetches it.
(cd bindings/go && go mod download)
cache=$(go env GOMODCACHE)/cache/download
sed -n 's/^require \([^ ]*\) \(v[^ ]*\)$/\1 \2/p' bindings/go/go.mod | while read -r needed at; do
    mkdir -p "dist/go/proxy/$needed/@v"
    cp "$cache/$needed/@v/$at".{info,mod,zip} "dist/go/proxy/$needed/@v/"
    echo "$at" >"dist/go/proxy/$needed/@v/list"
done

# One file for each SONAME; links are for compilers.
for library in "$libraries"/lib*.so.*; do
    name=$(basename "$library")
    case $name in
        *.so.*.*) ;;
        *) cp -L "$library" dist/go/native/lib/ ;;
    esac
done
if [ -d "$native/share/doc" ]; then
    mkdir -p dist/go/native/share
    cp -r "$native/share/doc" dist/go/native/share/
else
    mkdir -p dist/go/native/share/doc/emotion-llama
    cp LICENSE THIRD_PARTY.md dist/go/native/share/doc/emotion-llama/
fi
echo "$module $version is in dist/go/proxy, the library in dist/go/native"
