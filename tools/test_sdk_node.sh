#!/usr/bin/env bash
# Installs the packages of dist/node with npm in an empty directory, without a network, and runs the tests, the conformance cases and the
# examples there: test_sdk_node.sh [PACKAGES]
# RUNS is how many analyses the memory test makes (50). NODES are the programs to try, by default node, node18, node20 and node22; the first that
# is there runs everything, the others the client's tests and the conformance cases.
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
run() { env -i HOME="$scratch" PATH="$scratch/bin" LANG=C.UTF-8 npm_config_update_notifier=false EMOTION_LLAMA_REPOSITORY="$root" EMOTION_LLAMA_CLIPS="$clips" "${extra[@]}" "$@"; }
extra=(EMOTION_LLAMA_PACKAGES="$packages")

cd app
echo '{ "private": true }' >package.json
first=
majors=" "
for name in ${NODES:-node node18 node20 node22}; do
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
        run node test/many.mjs "${RUNS:-50}"
    else
        run node --test --test-concurrency=1 test/client.test.mjs
    fi
    run node test/conformance.mjs
    run node test/conformance.mjs --client browser
done
for major in 18 20 22; do
    case $majors in *" $major "*) ;; *) echo "not tried: Node $major is not on this machine" ;; esac
done

ln -sfn "$(readlink -f "$(command -v "$first")")" ../bin/node
extra=()
run npx --offline emotion-llama-sdk analyze "$clips/1001_DFA_HAP_XX.flv"
run node analyze.mjs "$clips/1001_DFA_ANG_XX.flv"
mkdir folder
ln -s "$clips"/1001_DFA_{ANG,HAP,NEU,SAD}_XX.flv folder/
run node folder.mjs folder

# The types, where TypeScript and the types of Node are on the machine: TYPES is a node_modules that has them.
if [ -n "${TYPES:-}" ]; then
    ln -s "$(readlink -f "$TYPES/typescript")" node_modules/typescript
    ln -s "$(readlink -f "$TYPES/@types")" node_modules/@types
    [ ! -d "$TYPES/undici-types" ] || ln -s "$(readlink -f "$TYPES/undici-types")" node_modules/undici-types
    run node node_modules/typescript/bin/tsc -p test/types
    echo "the types compile"
else
    echo "not tried: TypeScript; name a node_modules with typescript and @types/node in TYPES"
fi
