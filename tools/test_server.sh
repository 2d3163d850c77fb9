#!/usr/bin/env bash
# Tests `emotion-llama serve` as a whole process: many clients at once, clients that go away, kill -9 during uploads, and what schemathesis makes
# of /openapi.json: test_server.sh
# REQUESTS is how many the load test makes (500), EXAMPLES how many schemathesis makes of each call (40).
set -euo pipefail
cd "$(dirname "$0")/.."
cli=target/release/emotion-llama
work=$PWD/build/server
clients=server/tests/clients
[ -x "$cli" ] || { echo "$cli is missing; run: make build" >&2; exit 1; }
mkdir -p "$work"
export PYTHONDONTWRITEBYTECODE=1

echo "== load"
python3 $clients/load.py --requests "${REQUESTS:-500}"
echo "== kill -9"
python3 $clients/killed.py

echo "== schemathesis"
if ! cmp -s $clients/requirements.txt "$work/requirements.txt"; then
    rm -rf "$work/venv"
    if ! python3 -m venv "$work/venv" || ! "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r $clients/requirements.txt; then
        echo "SKIPPED schemathesis: pip cannot install it"
        exit 0
    fi
    cp $clients/requirements.txt "$work/requirements.txt"
fi
rm -rf "$work/least"
"$cli" pack synth --shape least --quantize f32 --perception none --out "$work/least" >/dev/null
# No call of it may take long: a limit of the analysis is an honest answer, an error of the server is not.
"$cli" serve --port 0 --pack "$work/least" --set limits.new_tokens=16 --set log.filter=warn 2>"$work/server.log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
    ! grep -q '^ready' "$work/server.log" || break
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^emotion-llama listens at //p' "$work/server.log" | head -n 1)
(cd "$work" && "$work/venv/bin/schemathesis" --no-color run "$url/openapi.json" --checks not_a_server_error,content_type_conformance \
    --max-examples "${EXAMPLES:-40}" --seed 1 --generation-database none --request-timeout 30 --workers 1)
kill -0 "$server"
