#!/usr/bin/env bash
# Runs clients that know nothing of this project against `emotion-llama serve` with the built-in pack and a real clip: test_http_clients.sh
#   gradio_client 1.3.0, 1.14.0 and 2.7.2, @gradio/client 1.5.1 and 2.7.0, requests, aiohttp and cURL, each with the checks of
#   ../shared/http/clients where that is beside the checkout (SHARED names it elsewhere), and with our own of tools/http_clients; then our own
#   Python and JavaScript SDKs of dist/.
# The clients are installed in build/http-clients, once. Needs target/release/emotion-llama, the pack and the clips. GRADIO_CLIENTS and
# GRADIO_JS_CLIENTS are the versions that run, for a part of it.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/http-clients
checks=${SHARED:-$root/../shared}/http/clients
ours=$root/tools/http_clients
cli=$root/target/release/emotion-llama
pack=${EMOTION_LLAMA_PACK:-$root/build/packs/emotion-llama-mini}
clip=$(cd "${EMOTION_LLAMA_CLIPS:-$root/build/clips}" && pwd)/1001_DFA_ANG_XX.flv
gradio=(${GRADIO_CLIENTS-1.3.0 1.14.0 2.7.2})
gradio_js=(${GRADIO_JS_CLIENTS-1.5.1 2.7.0})
requests=2.34.2
aiohttp=3.14.5
key=key-of-the-client-tests
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_DISABLE_TELEMETRY=1 GRADIO_ANALYTICS_ENABLED=False

skip() { echo "SKIPPED test-http-clients: $*"; exit 0; }
for needed in "$cli" "$pack/pack.json" "$clip"; do
    [ -e "$needed" ] || { echo "$needed is missing; run: make build pack clips" >&2; exit 1; }
done
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || skip "there is no Python 3.10 or later with venv"
command -v curl >/dev/null || skip "there is no curl"
[ -d "$checks" ] || echo "SKIPPED the checks of shared/http/clients: they are not beside the checkout"
logs=$(mktemp -d)
servers=()
finish() {
    for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$logs"
}
trap finish EXIT

venv() { # name, packages: a virtual environment that is made again when the packages change
    local dir=$work/$1
    shift
    [ "$(cat "$dir/made-of" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    echo "$*" >"$dir/made-of"
}
node_dir() { # name, packages: a directory with node_modules, as above
    local dir=$work/$1
    shift
    [ "$(cat "$dir/made-of" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$dir"
    mkdir -p "$dir"
    echo '{ "private": true }' >"$dir/package.json"
    npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "$@" >/dev/null
    echo "$*" >"$dir/made-of"
}

# serve NAME OPTIONS: starts a server on two free ports and sets url and fastapi.
serve() {
    local log=$logs/$1.server
    shift
    # By its number the server knows the port on which it answers as FastAPI's does, so that it is chosen before.
    local free
    free=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$cli" serve --port 0 --fastapi-port "$free" --pack "$pack" "$@" 2>"$log" &
    local server=$!
    servers+=("$server")
    for _ in $(seq 600); do
        ! grep -qs '^ready' "$log" || break
        kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.2
    done
    { read -r url && read -r fastapi; } < <(sed -n 's/^emotion-llama listens at //p' "$log")
}

# Where the recorded servers and the documented table of errors differ, the table is what this server does. These lines of the shared checks are
# about that; each names the status that is documented.
cat >"$logs/known" <<'END'
FAIL direct call: too few values gives 500 with an error key: AssertionError: 400 {'error': 
FAIL direct call: missing video gives a text or a 500 error object: AssertionError: 404 b'{"error":
END
failed=0
# run NAME COMMAND: what it prints is looked through; a FAIL that is not known, or an end without a result, is a failure.
run() {
    local name=$1 log=$logs/out code=0
    shift
    "$@" >"$log" 2>"$logs/err" || code=$?
    local known
    known=$(grep -cF -f "$logs/known" "$log" || true)
    grep -vF -f "$logs/known" "$log" | grep '^FAIL' || true
    local bad
    bad=$(grep -vF -f "$logs/known" "$log" | grep -c '^FAIL' || true)
    local passed
    passed=$(grep -c '^PASS' "$log" || true)
    if [ "$bad" -gt 0 ] || [ "$passed" -eq 0 ] || { [ "$code" -ne 0 ] && [ "$known" -eq 0 ]; }; then
        failed=1
        echo "FAILED $name: $passed passed, $bad failed, exit code $code"
        tail -n 5 "$logs/err"
    else
        echo "$name: $passed passed$([ "$known" -eq 0 ] || echo ", $known differ as documented")"
    fi
}

venv plain "requests==$requests" "aiohttp==$aiohttp"
plain=$work/plain/bin/python
serve open
echo "Gradio's address $url, FastAPI's $fastapi"

for version in "${gradio[@]}"; do
    venv "gradio_client-$version" "gradio_client==$version"
    python=$work/gradio_client-$version/bin/python
    [ ! -d "$checks" ] || run "gradio_client_check.py with gradio_client $version" "$python" "$checks/gradio_client_check.py" "$url" "$clip"
    run "streams, uploads and cancels with gradio_client $version" "$python" "$ours/gradio_more.py" "$url" "$clip"
done
if command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; then
    for version in "${gradio_js[@]}"; do
        node_dir "gradio-js-$version" "@gradio/client@$version"
        dir=$work/gradio-js-$version
        [ ! -d "$checks" ] || run "gradio_js_check.mjs with @gradio/client $version" node "$checks/gradio_js_check.mjs" "$url" "$clip" --client-dir "$dir"
        run "streams, uploads and cancels with @gradio/client $version" node "$ours/gradio_more.mjs" "$url" "$clip" "$dir"
    done
else
    echo "SKIPPED @gradio/client: there is no Node.js 18 or later with npm"
fi

if [ -d "$checks" ]; then
    run "requests_check.py" "$plain" "$checks/requests_check.py" "$url" "$fastapi" "$clip"
    run "curl_check.sh" sh "$checks/curl_check.sh" "$url" "$fastapi" "$clip"
    run "fastapi_check.py" "$plain" "$checks/fastapi_check.py" "$fastapi" "$clip"
fi
run "the documented Python" "$plain" "$ours/documented.py" "$url" "$fastapi" "$clip"
run "the documented cURL lines" sh "$ours/documented.sh" "$url" "$fastapi" "$clip"

if compgen -G "$root/dist/python/emotion_llama-*.whl" >/dev/null; then
    rm -rf "$work/sdk-python"
    python3 -m venv "$work/sdk-python"
    "$work/sdk-python/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$root/dist/python" emotion-llama
    run "the Python SDK" "$work/sdk-python/bin/python" "$ours/sdk.py" "$url" "$clip"
else
    echo "SKIPPED the Python SDK: dist/python has no wheel; run: make sdk-python"
fi
if compgen -G "$root/dist/node/emotion-llama-sdk-*.tgz" >/dev/null && command -v npm >/dev/null; then
    # The client without its model, as the server has one.
    node_dir "sdk-node" "$(ls "$root"/dist/node/emotion-llama-sdk-*.tgz)" "$(ls "$root"/dist/node/emotion-llama-linux-*.tgz)"
    (cd "$work/sdk-node" && run "the JavaScript SDK" node "$ours/sdk.mjs" "$url" "$clip" && [ "$failed" -eq 0 ]) || failed=1
else
    echo "SKIPPED the JavaScript SDK: dist/node has no package; run: make sdk-node"
fi

if [ -d "$checks" ]; then
    serve keys --set "access.keys=[\"$key\"]"
    run "fastapi_check.py with a key" "$plain" "$checks/fastapi_check.py" "$fastapi" "$clip" --api-key "$key"
    run "requests_check.py with a key" "$plain" "$checks/requests_check.py" - "$fastapi" "$clip" "$key"
    run "curl_check.sh with a key" sh "$checks/curl_check.sh" - "$fastapi" "$clip" "$key"
    serve both --set "access.keys=[\"$key\"]" --set "rates.per_key=40/minute"
    run "fastapi_check.py with a key and a rate limit" "$plain" "$checks/fastapi_check.py" "$fastapi" "$clip" --api-key "$key" --rate-limit 40
fi
serve keys2 --set "access.keys=[\"$key\"]"
run "the documented Python with a key" "$plain" "$ours/documented.py" "$url" "$fastapi" "$clip" "$key"
serve limited --rate-limit 10/minute
run "the documented rate limit" "$plain" "$ours/rate_limit.py" "$fastapi" "$clip"

[ "$failed" -eq 0 ] || { echo "test-http-clients: FAILED"; exit 1; }
echo "test-http-clients: all passed"
