#!/bin/bash
# Succeeds when the server on this machine answers /healthz with 200: emotion-llama-probe [PORT [PATH]]
# Asks without TLS. It takes only bash, because the image has no curl.
port=${1:-${EMOTION_LLAMA_LISTEN_PORT:-7889}}
exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${2:-/healthz}" >&3
read -r -t 5 -u 3 _ status _
[ "$status" = 200 ]
