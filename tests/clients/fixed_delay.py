#!/usr/bin/env python3
"""Charges, and tries again every 200 ms whatever the answer was, up to six times.

What goes wrong: it never reads `Retry-After`, so it hammers a provider that asked for patience; it
repeats what can never succeed; and without a key a lost response becomes a second charge.
"""

import json
import os
import sys
import time
import urllib.request

TRIES = 6
DELAY_SECONDS = 0.2


def charge(url, api_key, order):
    request = urllib.request.Request(
        url + "/v1/charges",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer " + api_key},
    )
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)["id"]


def charge_with_retries(url, api_key, order):
    for left in reversed(range(TRIES)):
        try:
            return charge(url, api_key, order)
        except Exception as problem:
            print("failed:", problem, file=sys.stderr)
            if left == 0:
                raise
            time.sleep(DELAY_SECONDS)


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    done = charge_with_retries(
        os.environ["BROWNOUT_URL"], os.environ["BROWNOUT_API_KEY"], job["input"]
    )
    print("charged", done)
