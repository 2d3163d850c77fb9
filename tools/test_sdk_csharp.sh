#!/usr/bin/env bash
# Unpacks the NuGet package of dist/csharp in an empty directory, compiles programs against it with mcs, and runs the tests, the conformance
# cases and the examples there with Mono, and with .NET where its runtime is on the machine: test_sdk_csharp.sh [PACKAGES]
# RUNS is how many analyses the memory test makes: 500 with a small pack, which target/release/emotion-llama makes, else 50.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! command -v mcs >/dev/null || ! command -v mono >/dev/null; then
    echo "SKIPPED test-sdk-csharp: there is no mcs or mono on this machine (Debian: apt-get install mono-mcs mono-runtime)"
    exit 0
fi
packages=$(cd "${1:-$root/dist/csharp}" && pwd)
clips=$(cd "${EMOTION_LLAMA_CLIPS:-$root/build/clips}" && pwd)
pack=$(cd "${EMOTION_LLAMA_PACK:-$root/build/packs/emotion-llama-mini}" && pwd)
cli=$root/target/release/emotion-llama
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# The caller's environment is left behind: no library of the working tree.
dotnet=$(command -v dotnet || true)
run() { env -i HOME="$scratch" PATH="/usr/bin:/bin" LANG=C.UTF-8 TMPDIR="$scratch" "$@"; }
places=(EMOTION_LLAMA_ROOT="$root" EMOTION_LLAMA_CLIPS="$clips" EMOTION_LLAMA_PACK="$pack" EMOTION_LLAMA_SERVER="${EMOTION_LLAMA_SERVER:-}")

python3 "$root/bindings/csharp/tests/package.py" "$packages"/EmotionLlama.*.nupkg
mkdir package model
python3 -m zipfile -e "$packages"/EmotionLlama.[0-9]*.nupkg package
python3 -m zipfile -e "$packages"/EmotionLlama.Model.Mini.*.nupkg model

# What a build with a reference to the package puts beside a program.
beside() {
    mkdir -p "$2"
    cp "package/lib/$1/EmotionLlama.dll" "$2"
    ln -s "$scratch/package/runtimes" "$2/runtimes"
}
[ -e model/packs/emotion-llama-mini/pack.json ] || { echo "the model package has no pack" >&2; exit 1; }
compile() { mcs -nologo -langversion:7 -warnaserror -r:package/lib/netstandard2.0/EmotionLlama.dll -r:System.Core.dll "$@"; }

runs=50
small=
if [ -x "$cli" ] && "$cli" pack synth --shape least --quantize f32 --perception none --out small >/dev/null 2>&1; then
    runs=500
    small=$scratch/small
fi
places+=(EMOTION_LLAMA_SMALL_PACK="$small")

beside netstandard2.0 tests
compile -unsafe -out:tests/EmotionLlama.Tests.exe "$root"/bindings/csharp/tests/*.cs
run "${places[@]}" mono tests/EmotionLlama.Tests.exe
run "${places[@]}" mono tests/EmotionLlama.Tests.exe conformance
run "${places[@]}" mono tests/EmotionLlama.Tests.exe memory "${RUNS:-$runs}"

# The built-in model is found beside the program, where the targets of its package put it.
beside netstandard2.0 example
mv model/packs example/packs
mkdir folder
ln -s "$clips"/1001_DFA_{ANG,HAP,NEU,SAD}_XX.flv folder/
compile -out:example/Analyze.exe "$root/examples/csharp/Analyze.cs"
compile -out:example/Folder.exe "$root/examples/csharp/Folder.cs"
run mono example/Analyze.exe "$clips/1001_DFA_ANG_XX.flv"
run mono example/Folder.exe folder

# The code on the page.
python3 "$root/tools/page_program.py" "$root/bindings/csharp/README.md" "$clips/1001_DFA_ANG_XX.flv" Page.cs
compile -out:example/Page.exe Page.cs
run mono example/Page.exe

# The source for netstandard2.1, with spans and IAsyncEnumerable, which Mono has too.
mkdir later
ln -s "$scratch/package/runtimes" later/runtimes
mapfile -t sources < <(find "$root/bindings/csharp/src" -name '*.cs' | LC_ALL=C sort)
mcs -nologo -langversion:7 -unsafe -warnaserror -target:library -define:NETSTANDARD2_1_OR_GREATER -out:later/EmotionLlama.dll "${sources[@]}"
mcs -nologo -langversion:7 -unsafe -warnaserror -define:NETSTANDARD2_1_OR_GREATER -r:later/EmotionLlama.dll -r:System.Core.dll \
    -out:later/EmotionLlama.Tests.exe "$root"/bindings/csharp/tests/*.cs
for suite in AbiTests StreamTests LiveTests; do run "${places[@]}" mono later/EmotionLlama.Tests.exe "$suite"; done

# The assemblies of the package as .NET runs them.
if [ -n "$dotnet" ]; then
    runtime=$("$dotnet" --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App \([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
    printf '{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "%s"},
        "configProperties": {"System.Globalization.Invariant": true}}}' "$runtime" >runtimeconfig.json
    for framework in netstandard2.0 netstandard2.1; do
        beside "$framework" "dotnet-$framework"
        cp tests/EmotionLlama.Tests.exe "dotnet-$framework"
        host="exec --runtimeconfig $scratch/runtimeconfig.json"
        echo ".NET $runtime, $framework"
        # shellcheck disable=SC2086
        run "${places[@]}" EMOTION_LLAMA_TEST_HOST="$host" "$dotnet" $host "dotnet-$framework/EmotionLlama.Tests.exe"
    done
else
    echo "SKIPPED the tests with .NET: there is no dotnet on this machine"
fi
