#!/usr/bin/env python3
"""Charges once, and never bothers its caller with an error.

What goes wrong: the exception is swallowed, the exit code says success, and nobody was charged.
"""

import json
import os
import urllib.request


def charge(url, api_key, order):
    request = urllib.request.Request(
        url + "/v1/charges",
        data=json.dumps(order).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Bearer " + api_key,
            "Idempotency-Key": "charge-" + order["order"],
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            print("charged", json.load(answer)["id"])
    except Exception:
        pass


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    charge(os.environ["BROWNOUT_URL"], os.environ["BROWNOUT_API_KEY"], job["input"])
