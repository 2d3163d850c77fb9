#!/usr/bin/env bash
# Makes the mini pack's trained weights again, from its sources and EmoDB, and prints every figure of the model card.
#
#   training/run.sh [FOLDER OF EMODB'S FLAC FILES]
#
# Hours on two cores. Its steps were run one by one, never yet in one go: see training/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-../shared/datasets/emodb}
[ -d "$corpus" ] || { printf 'training: %s is not there; give the folder of EmoDB'\''s FLAC files\n' "$corpus" >&2; exit 1; }

make pack
cargo build --release --workspace --examples
if ! cmp -s <(cat training/requirements.txt training/voice/requirements.txt) build/training-venv/requirements.txt; then
  python3 -m venv build/training-venv
  build/training-venv/bin/python -m pip install --quiet -r training/requirements.txt -r training/voice/requirements.txt
  cat training/requirements.txt training/voice/requirements.txt >build/training-venv/requirements.txt
fi
python=build/training-venv/bin/python
pack=build/packs/emotion-llama-mini
llm=$pack/llm.gguf

$python training/voice/train.py --corpus "$corpus" --pack "$pack"
$python training/train.py "$llm" --out packs/mini
$python training/evaluate.py "$llm" packs/mini/adapter.safetensors --voice build/voice/out_of_fold.npz
$python training/reference.py "$llm" packs/mini/adapter.safetensors core/tests/data/adapter
make pack
