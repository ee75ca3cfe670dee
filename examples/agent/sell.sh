#!/bin/sh
# Sell through the agent: sh sell.sh http://127.0.0.1:8787 ~/.local/state/getnet-pos/agent-token 25000 A1
set -eu
[ $# -eq 4 ] || { echo "usage: sh sell.sh AGENT TOKEN_FILE AMOUNT TICKET" >&2; exit 2; }
agent=$1 token=$(cat "$2") amount=$3 ticket=$4

# The text of a member of the answer; nothing if it is null or missing.
text_of() { printf '%s' "$answer" | sed -nE "s/.*\"$1\": ?\"(([^\"\\\\]|\\\\.)*)\".*/\\1/p"; }

# The token goes by standard input, and not on the command line, which every user of the machine can read. Sent again
# with the same ticket, a sale is not charged again. An answer that is no success is a problem document.
answer=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl --silent --fail-with-body --noproxy '*' --config - --header 'Content-Type: application/json' \
        --data "{\"amount\": $amount, \"ticket\": \"$ticket\"}" "$agent/v1/terminals/terminal/sales") || {
    detail=$(text_of detail)
    if [ -n "$detail" ]; then echo "refused: $detail $(text_of advice)" >&2
    else echo "no answer from $agent: run this again with the same ticket" >&2; fi
    exit 1
}
outcome=$(text_of outcome) reason=$(text_of reason)
if [ "$outcome" = unknown ]; then
    echo "do not charge again: look at the terminal, then resolve $(text_of intent_id) ($reason)" >&2
    exit 1
fi
echo "$outcome${reason:+: $reason}"
