#!/bin/sh
# Sell through the agent: sh sell.sh http://127.0.0.1:8787 TOKEN_FILE 25000 A1
set -eu
agent=$1 token=$(cat "$2") amount=$3 ticket=$4
# The token goes by standard input, and not on the command line, which every user of the machine can read. Sent again
# with the same ticket, a sale is not charged again. An answer that is no success is a problem document.
printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl --silent --show-error --fail-with-body --noproxy '*' --config - --header 'Content-Type: application/json' \
        --data "{\"amount\": $amount, \"ticket\": \"$ticket\"}" "$agent/v1/terminals/terminal/sales" |
    grep --only-matching '"outcome":"[a-z]*"' || { echo "refused, or no answer: ask for the payment by its ticket" >&2; exit 1; }
