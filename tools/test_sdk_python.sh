#!/usr/bin/env bash
# Installs the wheels of dist/python with pip in an empty directory, without a network, and runs the tests, the conformance cases and the
# examples there: test_sdk_python.sh [WHEELS]
# RUNS is how many rounds the memory test takes: 500 with a small pack, which target/release/emotion-llama makes, else 50. PYTHON is the
# interpreter; MYPY and AUDITWHEEL are these programs, by default those of `tools/setup.sh sdks`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
    echo "SKIPPED test-sdk-python: there is no Python 3.9 or later with venv on this machine"
    exit 0
fi
wheels=$(cd "${1:-$root/dist/python}" && pwd)
clips=$(cd "${EMOTION_LLAMA_CLIPS:-$root/build/clips}" && pwd)
cli=$root/target/release/emotion-llama
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# The caller's environment is left behind: Python and no other program, no compiler, no library of the working tree.
run() { env -i HOME="$scratch" PATH="$scratch/venv/bin" LANG=C.UTF-8 "$@"; }
"$python" -m venv venv
run venv/bin/python -m pip --disable-pip-version-check install --quiet --no-index --find-links "$wheels" emotion-llama emotion-llama-model-mini
run venv/bin/python -m pip list --format=freeze

cp -r "$root/bindings/python/tests" tests
common=(EMOTION_LLAMA_REPOSITORY="$root" EMOTION_LLAMA_CLIPS="$clips" EMOTION_LLAMA_SERVER="${EMOTION_LLAMA_SERVER:-}")
pack=$(run venv/bin/python -c 'import emotion_llama_model_mini as model; print(model.path())')
common+=(EMOTION_LLAMA_PACK="$pack")
runs=50
if [ -x "$cli" ] && "$cli" pack synth --shape least --quantize f32 --perception none --out small >/dev/null; then
    common+=(EMOTION_LLAMA_SMALL_PACK="$scratch/small")
    runs=500
fi

(cd tests && run "${common[@]}" ../venv/bin/python -W error -m unittest discover -p 'test_*.py')
# NumPy is optional: what needs it is run where the project's own environment has it.
if "$root/build/venv/bin/python" -c 'import numpy' 2>/dev/null; then
    site=$(run venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    (cd tests && run "${common[@]}" PYTHONPATH="$site" "$root/build/venv/bin/python" -W error -m unittest test_live)
else
    echo "SKIPPED the tests with NumPy: it is not in build/venv"
fi
(cd tests && run "${common[@]}" ../venv/bin/python memory.py "${RUNS:-$runs}")
(cd tests && run "${common[@]}" ../venv/bin/python conformance.py)

run venv/bin/python "$root/examples/python/analyze.py" "$clips/1001_DFA_ANG_XX.flv"
mkdir folder
ln -s "$clips"/1001_DFA_{ANG,HAP,NEU,SAD}_XX.flv folder/
run venv/bin/python "$root/examples/python/folder.py" folder

# The types, and what the wheel takes from the system, with mypy and auditwheel from `tools/setup.sh sdks`.
mypy=${MYPY:-$root/build/venv/bin/mypy}
if [ -x "$mypy" ]; then
    (cd "$root/bindings/python" && "$mypy" --strict --cache-dir "$scratch/mypy" src tests/*.py ../../examples/python/*.py)
else
    echo "SKIPPED mypy --strict: there is no mypy in build/venv"
fi
auditwheel=${AUDITWHEEL:-$root/build/venv/bin/auditwheel}
if [ -x "$auditwheel" ]; then
    wheel=$(ls "$wheels"/emotion_llama-*.whl)
    "$auditwheel" show "$wheel" | tee shown
    # The tag of the file's name is what auditwheel finds.
    tag=${wheel%.whl}
    tag=${tag##*-}
    grep -qF "\"${tag%%.*}\"" <(tr '\n' ' ' <shown)
else
    echo "SKIPPED auditwheel: it is not in build/venv"
fi
