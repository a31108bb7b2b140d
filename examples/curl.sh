#!/bin/sh
# List the models, then request one response and one streamed response. Run it: sh examples/curl.sh
set -eu
url=${OPENAI_BASE_URL:-http://127.0.0.1:8787/v1}
key=${OPENAI_API_KEY:-none}

curl --silent --show-error --fail-with-body "$url/models" -H "authorization: Bearer $key"
echo

curl --silent --show-error --fail-with-body "$url/chat/completions" \
    -H "authorization: Bearer $key" -H 'content-type: application/json' \
    -d '{"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}'
echo

curl --silent --show-error --fail-with-body --no-buffer "$url/chat/completions" \
    -H "authorization: Bearer $key" -H 'content-type: application/json' \
    -d '{"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": "Count to 3"}]}'
