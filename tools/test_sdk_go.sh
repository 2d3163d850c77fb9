#!/usr/bin/env bash
# Installs dist/go in an empty module, with nothing but Go on the PATH and no network, and runs examples, tests and conformance there.
# EMOTION_LLAMA_PACK and EMOTION_LLAMA_CLIPS are the mini pack and the clips, by default those in build/. RUNS is how many analyses the memory
# test makes: 500 with a small pack, which target/release/emotion-llama makes, else 25.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if ! command -v go >/dev/null || ! printf 'go1.24\n%s\n' "$(go env GOVERSION)" | sort -VC; then
    echo "SKIPPED test-sdk-go: there is no Go 1.24 or later on this machine"
    exit 0
fi
if [ ! -d dist/go/proxy ]; then
    echo "dist/go is not there; run: tools/sdk_go.sh" >&2
    exit 1
fi
export EMOTION_LLAMA_PACK=${EMOTION_LLAMA_PACK:-$root/build/packs/emotion-llama-mini}
export EMOTION_LLAMA_CLIPS=${EMOTION_LLAMA_CLIPS:-$root/build/clips}
export EMOTION_LLAMA_ROOT=$root
pack=$EMOTION_LLAMA_PACK
clips=$EMOTION_LLAMA_CLIPS
unset EMOTION_LLAMA_LIBRARY

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cli=$root/target/release/emotion-llama
runs=25
if [ -x "$cli" ] && "$cli" pack synth --shape least --quantize f32 --perception none --out "$scratch/small" >/dev/null 2>&1; then
    runs=500
    export EMOTION_LLAMA_SMALL_PACK=$scratch/small
fi
export EMOTION_LLAMA_ANALYSES=${RUNS:-$runs}
GOCACHE=$(go env GOCACHE)
goroot=$(go env GOROOT)
compiler=$(command -v cc || true)
full_path=$PATH
export GOCACHE GOPATH=$scratch/gopath GOMODCACHE=$scratch/modules GOTOOLCHAIN=local GOSUMDB=off GOENV=off
export GOPROXY=file://$root/dist/go/proxy GOFLAGS="-mod=mod -modcacherw -buildvcs=false"
unset GONOPROXY GOPRIVATE CGO_ENABLED
mkdir "$scratch/bin"
for tool in bash cat cp find grep ln mkdir rm sed sort wc; do
    if found=$(command -v "$tool"); then
        ln -s "$found" "$scratch/bin/$tool"
    fi
done
# Not a script that looks for Python: that would need more.
if found=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null); then
    ln -s "$found" "$scratch/bin/python3"
fi
ln -s "$goroot/bin/go" "$goroot/bin/gofmt" "$scratch/bin/"
export PATH=$scratch/bin
for absent in cc gcc clang pkg-config; do
    if command -v "$absent" >/dev/null; then
        echo "$absent is on the PATH" >&2
        exit 1
    fi
done

echo "== form"
unformatted=$(gofmt -l bindings/go examples/go tools/sdk_go)
if [ -n "$unformatted" ]; then
    echo "gofmt would change: $unformatted" >&2
    exit 1
fi

echo "== install"
module=$(sed -n 's/^module //p' bindings/go/go.mod)
mkdir "$scratch/program"
cp -r examples/go/analyze examples/go/folder "$scratch/program/"
cd "$scratch/program"
go mod init program 2>/dev/null
go get "$module@latest"
go vet ./... "$module"
mkdir "$scratch/app"
go build -o "$scratch/app/" ./...

echo "== contents"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
if [ "$(go list -m -f '{{.Version}}' "$module")" != "v$version" ]; then
    echo "the module's version is not $version, as in Cargo.toml" >&2
    exit 1
fi
installed=$(go list -m -f '{{.Dir}}' "$module")
for wanted in LICENSE README.md go.mod; do
    if [ ! -f "$installed/$wanted" ]; then
        echo "the module has no $wanted" >&2
        exit 1
    fi
done
stray=$(find "$installed" -type f ! -name '*.go' ! -name LICENSE ! -name README.md ! -name go.mod ! -name go.sum)
if [ -n "$stray" ]; then
    echo "the module has files that do not belong there: $stray" >&2
    exit 1
fi
if [ ! -f "$root/dist/go/native/share/doc/emotion-llama/LICENSE" ]; then
    echo "the library has no licence" >&2
    exit 1
fi
(cd "$installed" && find . -type f | sort)
echo "the module has $(find "$installed" -type f | wc -l) files and $(cat "$root/dist/go/proxy/$module"/@v/*.zip | wc -c) bytes as a zip"
(cd "$root/dist/go/native/lib" && wc -c lib*)

echo "== examples"
cp -r "$root/dist/go/native/lib" "$scratch/app/lib"
mkdir "$scratch/app/lib/packs"
ln -s "$pack" "$scratch/app/lib/packs/emotion-llama-mini"
unset EMOTION_LLAMA_PACK
answer=$("$scratch/app/analyze" "$clips/1001_DFA_ANG_XX.flv" 2>"$scratch/progress")
echo "$answer"
grep -q '^angry, confidence 0' <<<"$answer"
grep -q 'loading: 100 %' "$scratch/progress"
grep -q '^respond' "$scratch/progress"
answer=$("$scratch/app/folder" "$clips")
echo "$answer"
grep -q '^1001_DFA_HAP_XX.flv: happy 0' <<<"$answer"
if "$scratch/app/analyze" /no/such/clip.mp4 2>"$scratch/failure"; then
    echo "a clip that is not there was analysed" >&2
    exit 1
fi
grep -q '(not_found)' "$scratch/failure"

echo "== the page's code"
if command -v python3 >/dev/null; then
    mkdir page
    python3 "$root/tools/page_program.py" "$root/bindings/go/README.md" "$clips/1001_DFA_ANG_XX.flv" page/main.go
    go vet ./page
    go build -o "$scratch/app/page" ./page
    "$scratch/app/page"
else
    echo "SKIPPED the page's code: there is no python3 on this machine"
fi

echo "== tests and conformance"
export EMOTION_LLAMA_PACK=$pack EMOTION_LLAMA_LIBRARY=$root/dist/go/native/lib/libemotionllama.so.1
go test -count=1 -timeout 30m -v "$module"

if [ -n "$compiler" ]; then
    echo "== tests with the race detector, which needs a compiler"
    export PATH=$full_path
    CGO_ENABLED=1 go test -count=1 -timeout 30m -race -skip "Conformance|ManyAnalyses|LibraryAndPackAreFound" "$module"
else
    echo "SKIPPED the race detector, which needs a C compiler"
fi
