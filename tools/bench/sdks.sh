#!/usr/bin/env bash
# Makes the programs of bench/sdks that this machine has the tools for, from the working tree, in the folder: sdks.sh FOLDER. Each gets a script there that starts it.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$PWD
library=$here/target/release/libemotionllama.so
rm -f "$out"/run_*
# The script that starts a program: run NAME COMMAND…
run() {
    printf '#!/bin/sh\nexport EMOTION_LLAMA_LIBRARY=%q %s\nexec %s "$@"\n' "$library" "${environment-}" "${*:2}" >"$out/run_$1"
    chmod +x "$out/run_$1"
}
# Whether the tools are there: has NAME TOOL…
has() {
    for tool in "${@:2}"; do
        command -v "$tool" >/dev/null || { echo "bench: SKIPPED the SDK of $1: there is no $tool" >&2; return 1; }
    done
}

ln -sfn "$library" "$out/libemotionllama.so.1"
cc -O2 -Iinclude bench/sdks/sdk.c -o "$out/sdk_c" "$library" -Wl,-rpath,"$out"
run c "$out/sdk_c"
environment="PYTHONPATH=$here/bindings/python/src" run python python3 "$here/bench/sdks/sdk.py"
if has node node; then
    cargo build --quiet --release --locked --manifest-path bindings/node/native/Cargo.toml --target-dir "$out/native"
    package=$out/node_modules/@emotion-llama/linux-$(node -p process.arch)-gnu
    mkdir -p "$package"
    cp "$out/native/release/libemotion_llama_node.so" "$package/emotion_llama.node"
    environment="NODE_PATH=$out/node_modules" run node node "$here/bench/sdks/sdk.mjs"
fi
if has go go; then
    (cd bench/sdks/go && go build -o "$out/sdk_go" .)
    run go "$out/sdk_go"
fi
if has java javac java mvn; then
    mvn -B -q -f bindings/java/pom.xml dependency:build-classpath -DincludeScope=runtime -Dmdep.outputFile="$out/classpath"
    javac -d "$out/java" -cp "$(cat "$out/classpath")" $(find bindings/java/src/main/java/org -name '*.java') bench/sdks/Sdk.java
    run java java -cp "$out/java:$(cat "$out/classpath")" Sdk
fi
if has csharp mcs mono; then
    mcs -nologo -langversion:7 -optimize+ -unsafe -target:library -r:System.Core.dll -recurse:'bindings/csharp/src/*.cs' -out:"$out/EmotionLlama.dll"
    mcs -nologo -langversion:7 -optimize+ -r:"$out/EmotionLlama.dll" -out:"$out/sdk_csharp.exe" bench/sdks/Sdk.cs
    run csharp mono "$out/sdk_csharp.exe"
fi
