#!/usr/bin/env python3
"""One of several copies of a client: charges under the order's own key and says which copy it is.

With `third-leaves` the third copy ends as soon as it is asked for anything; with `own-names` the second calls its
orders what nobody called them, and names no operation by URL or key. Runs in stdio and in exec mode.
"""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

CLIENT = os.environ["BROWNOUT_CLIENT"]


def charge(operation):
    if sys.argv[1] == "own-names" and CLIENT == "2":
        operation = dict(operation, input=dict(operation["input"], order="own-" + operation["input"]["order"]))
        operation["url"] = operation["url"].split("/~")[0]
        operation["api_key"] = operation["api_key"].split("~")[0]
    base = urlsplit(operation["url"])
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Bearer " + operation["api_key"],
        "Idempotency-Key": operation["id"],
    }
    body = json.dumps(operation["input"]).encode()
    connection.request("POST", base.path.rstrip("/") + "/v1/charges", body=body, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return {"outcome": "succeeded" if status == 201 else "failed", "detail": "by copy " + CLIENT}


def main():
    if "BROWNOUT_OPERATION" in os.environ:
        print("BROWNOUT_OUTCOME", json.dumps(charge(json.loads(os.environ["BROWNOUT_OPERATION"]))))
        return
    for line in sys.stdin:
        if sys.argv[1] == "third-leaves" and CLIENT == "3":
            return
        operation = json.loads(line)
        claim = charge(operation)
        print(json.dumps({"id": operation["id"], "submit": operation["submit"], **claim}), flush=True)


if __name__ == "__main__":
    main()
