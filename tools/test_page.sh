#!/usr/bin/env bash
# Tests the server's page in headless Chromium, and leaves screenshots in build/screenshots: test_page.sh [TEST…]
# TEST is a name as unittest takes it, for example test_page.Webcam; without one all run. PAGE_URL is a running server's address; without it
# target/release/emotion-llama serves the built-in pack on a free port. CHROMIUM is the browser. What is missing is installed where that is
# possible without asking for a password, else the test says that it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "SKIPPED test-page: $*"; exit 0; }
need() { command -v "$1" >/dev/null 2>&1; }
work=$PWD/build/page
axe=axe-core-4.14.1
axe_sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
cli=target/release/emotion-llama
tests=server/page/tests
mkdir -p "$work" build/screenshots

missing=()
[ -n "${CHROMIUM:-}" ] || need chromium || need chromium-browser || need google-chrome || missing+=(chromium)
need ffmpeg || missing+=(ffmpeg)
# Without a Chinese font the screenshots show boxes.
{ need fc-list && [ -n "$(fc-list :lang=zh family)" ]; } || missing+=(fontconfig fonts-noto-cjk)
if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    need apt-get || skip "install ${missing[*]} (names as in Debian) and run again"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || skip "not allowed to install packages; run: sudo apt-get install ${missing[*]}"
        as_root=(sudo -n)
    fi
    { "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 ||
        skip "apt-get cannot install ${missing[*]}: $(tail -n 1 "$work/apt.log")"
fi
if ! cmp -s "$tests/requirements.txt" "$work/requirements.txt"; then
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || skip "there is no Python 3.9 or later with venv"
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$tests/requirements.txt" || skip "pip cannot install Playwright"
    cp "$tests/requirements.txt" "$work/requirements.txt"
fi
if [ ! -f "$work/axe.min.js" ]; then
    need npm || skip "there is no npm, which fetches axe"
    (cd "$work" && npm pack --silent "${axe/core-/core@}" >/dev/null) || skip "npm cannot fetch axe"
    echo "$axe_sha256  $work/$axe.tgz" | sha256sum --check --quiet
    tar -xzf "$work/$axe.tgz" -C "$work" --strip-components 1 package/axe.min.js
fi

if [ -z "${PAGE_URL:-}" ]; then
    [ -x "$cli" ] || { echo "$cli is missing; run: make build" >&2; exit 1; }
    "$cli" serve --port 0 --pack "${EMOTION_LLAMA_PACK:-build/packs/emotion-llama-mini}" 2>"$work/server.log" &
    server=$!
    trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
    for _ in $(seq 300); do
        ! grep -q '^ready' "$work/server.log" || break
        kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
        sleep 0.2
    done
    PAGE_URL=$(sed -n 's/^emotion-llama listens at //p' "$work/server.log" | head -n 1)/
fi
export PAGE_URL PAGE_WORK=$work PYTHONDONTWRITEBYTECODE=1
cd "$tests"
[ $# -gt 0 ] || set -- test_files test_page
"$work/venv/bin/python" -m unittest -v "$@"
