#!/usr/bin/env bash
# Charges once, with what bash can do alone: one request, no key, no second try. A 201 is success.
set -euo pipefail
address=${BROWNOUT_URL#http://}
host=${address%%/*}
token=${address#"$host"}
order=${BROWNOUT_OPERATION#*\"order\":\"}
body="{\"amount\":1999,\"currency\":\"usd\",\"order\":\"${order%%\"*}\"}"
exec 3<>"/dev/tcp/${host%:*}/${host#*:}"
printf 'POST %s/v1/charges HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
    "$token" "$host" "$BROWNOUT_API_KEY" "${#body}" "$body" >&3
read -r _ status _ <&3
echo "status $status"
[ "$status" = 201 ]
