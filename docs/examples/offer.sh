#!/bin/sh
# Stores a customer, posts an offer to them alone, and waits until it is sent. Needs curl 7.82 or newer, and jq.
#
#     eval "$(cargo xtask env)"       # or `offercast env --stack NAME`, with a key of AWS in the environment
#     sh docs/examples/offer.sh
set -eu

# call METHOD PATH [BODY [HEADER]]: signs a call, and prints the response. If that is an error, it ends this script.
call() {
    response=$(curl --silent --show-error --fail-with-body --aws-sigv4 "aws:amz:$AWS_REGION:execute-api" \
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" ${AWS_SESSION_TOKEN:+--header "X-Amz-Security-Token: $AWS_SESSION_TOKEN"} \
        --request "$1" ${3:+--json "$3"} ${4:+--header "$4"} "$OFFERCAST_API_URL$2") ||
        { printf '%s %s: %s\n' "$1" "$2" "$response" >&2; exit 1; }
    printf '%s\n' "$response"
}

call PUT /customers/curl-1 '{"name": "Asha Rao", "email": "asha@curl.example", "channels": ["email"]}' >/dev/null

# With the same key, the offer is posted once, however often this call is repeated within a day.
posted=$(call POST /offers '{
    "code": "CURL",
    "description": "Dear {{ customer.name }}, get **5%** cashback",
    "eligibility": "customer.id == '\''curl-1'\''"
}' "Idempotency-Key: curl-$(date +%s)")
offer=$(printf %s "$posted" | jq --raw-output .id)
echo "Posted offer $offer"

while
    push=$(call GET "/offers/$offer/pushes/1") || exit 1
    state=$(printf %s "$push" | jq --raw-output .state)
    [ "$state" = scheduled ] || [ "$state" = running ]
do
    sleep 1
done
printf %s "$push" | jq '{sent, failed, optedOut, reasons}'
