#!/usr/bin/env python3
"""Charges once and hopes: one request, no retry, no key.

What goes wrong: every transient error is a lost order, and a lost response is reported as a failure
although the customer was charged.
"""

import json
import os
import urllib.request


def charge(url, api_key, order):
    request = urllib.request.Request(
        url + "/v1/charges",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer " + api_key},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    done = charge(os.environ["BROWNOUT_URL"], os.environ["BROWNOUT_API_KEY"], job["input"])
    print("charged", done["id"])
