#!/usr/bin/env bash
# Installs the packages of dist/node with npm in an empty directory, without a network, and runs the tests, the conformance cases and the
# examples there: test_sdk_node.sh [PACKAGES]
# RUNS is how many analyses the memory test makes: 500 with a small pack, which target/release/emotion-llama makes, else 50. NODES are the programs
# to try, by default node and those of `tools/setup.sh sdks`; the first that is there runs everything, the others the tests.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null; then
    echo "SKIPPED test-sdk-node: there is no Node 18 or later with npm on this machine"
    exit 0
fi
if [ $# -eq 0 ] && [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "SKIPPED test-sdk-node: there is no package for $(uname -sm) yet"
    exit 0
fi
packages=$(cd "${1:-$root/dist/node}" && pwd)
clips=$(cd "${EMOTION_LLAMA_CLIPS:-$root/build/clips}" && pwd)
cli=$root/target/release/emotion-llama
kept=$root/build/node/node_modules
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# These programs and no others: no compiler, no FFmpeg, no library of the working tree.
mkdir bin app
for program in npm npx sh env; do
    ln -s "$(readlink -f "$(command -v "$program")")" "bin/$program"
done
# What is called python3 may be a script that chooses one.
ln -s "$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')" bin/python3
run() { env -i HOME="$scratch" PATH="$scratch/bin" LANG=C.UTF-8 npm_config_update_notifier=false EMOTION_LLAMA_REPOSITORY="$root" EMOTION_LLAMA_CLIPS="$clips" EMOTION_LLAMA_SERVER="${EMOTION_LLAMA_SERVER:-}" "${extra[@]}" "$@"; }
extra=(EMOTION_LLAMA_PACKAGES="$packages")

cd app
echo '{ "private": true }' >package.json
first=
majors=" "
for name in ${NODES:-node "$kept/node18/bin/node" "$kept/node22/bin/node"}; do
    program=$(command -v "$name" || true)
    [ -n "$program" ] || continue
    major=$("$program" -p 'parseInt(process.versions.node)')
    case $majors in *" $major "*) continue ;; esac
    majors+="$major "
    ln -sfn "$(readlink -f "$program")" ../bin/node
    echo "node $("$program" --version)"
    if [ -z "$first" ]; then
        first=$name
        run npm install --offline --ignore-scripts --no-audit --no-fund --loglevel=error "$packages"/*.tgz
        run npm ls
        cp -r "$root/bindings/node/test" test
        cp "$root"/examples/node/*.mjs .
        extra+=(EMOTION_LLAMA_PACK="$scratch/app/node_modules/@emotion-llama/model-mini/packs/emotion-llama-mini")
        run node --test --test-reporter=spec --test-concurrency=1 test/*.test.mjs
        runs=50
        small=()
        if [ -x "$cli" ] && "$cli" pack synth --shape least --quantize f32 --perception none --out ../small >/dev/null; then
            runs=500
            small=(EMOTION_LLAMA_PACK="$scratch/small")
        fi
        run "${small[@]}" node test/many.mjs "${RUNS:-$runs}"
        run node test/conformance.mjs
        run node test/conformance.mjs --client browser
    else
        run node --test --test-concurrency=1 test/client.test.mjs test/ends.test.mjs
    fi
done
for major in 18 20 22; do
    case $majors in *" $major "*) ;; *) echo "SKIPPED Node $major, which is not on this machine" ;; esac
done

ln -sfn "$(readlink -f "$(command -v "$first")")" ../bin/node
extra=()
run npx --offline emotion-llama-sdk analyze "$clips/1001_DFA_HAP_XX.flv"
run node analyze.mjs "$clips/1001_DFA_ANG_XX.flv"
mkdir folder
ln -s "$clips"/1001_DFA_{ANG,HAP,NEU,SAD}_XX.flv folder/
run node folder.mjs folder

# The types, with TypeScript and the types of Node 18 from `tools/setup.sh sdks`.
if [ -d "$kept/typescript" ]; then
    ln -s "$kept"/{typescript,@types,undici-types} node_modules/
    run node node_modules/typescript/bin/tsc -p test/types
    echo "the types compile"
else
    echo "SKIPPED the types: TypeScript is not in build/node; tools/setup.sh sdks installs it"
fi
