#!/bin/sh
# The cURL lines of the published documentation, for Linux and for Windows, against a running server: documented.sh GRADIO FASTAPI VIDEO
# Prints PASS and FAIL lines; exit code 1 when a check failed.
gradio=${1%/} fastapi=${2%/} video=$3 failed=0
expect() { # name, what the answer begins with, answer
    case $3 in
    "$2"*) echo "PASS $1" ;;
    *) echo "FAIL $1: $3" && failed=1 ;;
    esac
}
answer=$(curl -sS -X POST "$gradio/api/predict/" \
    -H "Content-Type: application/json" \
    -d '{"data": ["'"$video"'", "The person in video says: Won'\''t you? Impossible! Fan Xiaomei is not such a person. [reason] Which emotion does this reflect?"]}')
expect "cURL on Linux, Gradio" '{"data":["' "$answer"
answer=$(curl -sS -X POST "$gradio/api/predict/" -H "Content-Type: application/json" -d "{\"data\": [\"$video\", \"The person in video says: Won't you? Impossible! [reason] Which emotion does this reflect?\"]}")
expect "cURL on Windows, Gradio" '{"data":["' "$answer"
answer=$(curl -sS -X POST "$fastapi/process_video" \
    -H "Content-Type: application/json" \
    -d '{
          "video_path": "'"$video"'",
          "question": "The person in video says: Won'\''t you? Impossible! Fan Xiaomei is not such a person. [reason] Which emotion does this reflect?"
     }')
expect "cURL on Linux, FastAPI" '{"response":"' "$answer"
answer=$(curl -sS -X POST "$fastapi/process_video" -H "Content-Type: application/json" -d "{\"video_path\": \"$video\", \"question\": \"The person in video says: Won't you? [emotion] Which emotion does this reflect?\"}")
expect "cURL on Windows, FastAPI" '{"response":"' "$answer"
exit "$failed"
