#!/usr/bin/env python3
"""Charges a card, and logs what it sends in one of the ways in which programs do.

What goes wrong: whoever logs whole requests logs what is in them. `LOG_CARD` says how: `plain`, `json`,
`url`, `base64`, or `masked`, as it should be.
"""

import base64
import json
import logging
import os
import urllib.parse
import urllib.request

logging.basicConfig(level=logging.INFO)


def in_log(order, how):
    card = order["card"]
    if how == "plain":
        return "charging card " + card
    if how == "json":
        return "POST /v1/charges " + json.dumps(order)
    if how == "url":
        # A service behind a gateway logs the query as it came, with every character escaped.
        return "POST /v1/charges?card=" + "".join("%%%02x" % byte for byte in card.encode())
    if how == "base64":
        return "body " + base64.b64encode(urllib.parse.urlencode(order).encode()).decode()
    return "charging card ending in " + card[-4:]


job = json.loads(os.environ["BROWNOUT_OPERATION"])
logging.info(in_log(job["input"], os.environ["LOG_CARD"]))
request = urllib.request.Request(
    os.environ["BROWNOUT_URL"] + "/v1/charges",
    data=json.dumps(job["input"]).encode(),
    headers={
        "Content-Type": "application/json",
        "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"],
        "Idempotency-Key": "charge-" + job["input"]["order"],
    },
)
with urllib.request.urlopen(request, timeout=5) as answer:
    print("charged", json.load(answer)["id"])
