#!/usr/bin/env bash
# Runs the API guide's snippets, and checks deploy/: test_guide.sh [OPTIONS OF test_api_guide.py]
# The packages that the snippets use are put into build/guide with pip and npm; our own SDKs come from dist/. Needs target/release/emotion-llama,
# the built-in pack and the clips.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/guide
gradio=@gradio/client@2.7.0
mkdir -p "$work"

python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { echo "SKIPPED test-guide: there is no Python 3.11 or later with venv"; exit 0; }
compgen -G 'dist/python/emotion_llama-*.whl' >/dev/null && compgen -G 'dist/node/emotion-llama-sdk-*.tgz' >/dev/null ||
    { echo "SKIPPED test-guide: dist/ has no SDKs; run: make sdk-python sdk-node"; exit 0; }

if ! cmp -s tools/guide_requirements.txt "$work/requirements.txt"; then
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tools/guide_requirements.txt
    cp tools/guide_requirements.txt "$work/requirements.txt"
fi
# Ours are installed again whenever they were made again, the client without its model: a server has it.
ours=$(cat dist/python/emotion_llama-*.whl dist/node/*.tgz | sha256sum)
if [ "$ours $gradio" != "$(cat "$work/ours" 2>/dev/null)" ]; then
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --force-reinstall --find-links dist/python emotion-llama
    echo '{ "private": true }' >"$work/package.json"
    rm -rf "$work/node_modules"
    npm install --prefix "$work" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "$gradio" \
        dist/node/emotion-llama-sdk-*.tgz dist/node/emotion-llama-linux-x64-gnu-*.tgz >/dev/null
    echo "$ours $gradio" >"$work/ours"
fi
# The proxies of docs/deployment.md, unpacked and not installed: nothing of them starts by itself. Without them their tests are skipped.
for proxy in nginx caddy; do
    command -v "$proxy" >/dev/null || [ -e "$work/proxies/$proxy" ] || ! command -v dpkg-deb >/dev/null || {
        mkdir -p "$work/proxies/$proxy"
        (cd "$work/proxies/$proxy" && apt-get download -qq "$proxy" && dpkg-deb -x "$proxy"_*.deb . && rm -f "$proxy"_*.deb) >/dev/null 2>&1 ||
            rm -rf "$work/proxies/$proxy"
    }
    export PATH=$PATH:$work/proxies/$proxy/usr/sbin:$work/proxies/$proxy/usr/bin
done
export PYTHONDONTWRITEBYTECODE=1
failed=0
[ $# -gt 0 ] || "$work/venv/bin/python" deploy/test_deploy.py || failed=1
"$work/venv/bin/python" tools/test_api_guide.py "$@" || failed=1
exit $failed
