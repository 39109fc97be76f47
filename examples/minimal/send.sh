#!/usr/bin/env bash
# Signs an event and sends it, as a shop's backend would. Usage: send.sh KEY TEXT
set -euo pipefail
: "${ORDERS_TOKEN:?}" "${ORDERS_HMAC_SECRET:?}"
base=${KHEISH_URL:-http://127.0.0.1:4000}
path=/v1/connectors/http/orders
body=$(printf '{"idempotency_key":"%s","binding_keys":["customer:42"],"content":"%s"}' "$1" "$2")
timestamp=$(date +%s)
signature=$(printf 'v1:POST:%s:%s:%s' "$path" "$timestamp" "$body" | openssl dgst -sha256 -hmac "$ORDERS_HMAC_SECRET" | sed 's/^.*= //')
curl --silent --show-error --include "$base$path" \
    --header "Authorization: Bearer $ORDERS_TOKEN" --header 'Content-Type: application/json' \
    --header "X-Kheish-Timestamp: $timestamp" --header "X-Kheish-Signature: v1=$signature" --data "$body"
echo
