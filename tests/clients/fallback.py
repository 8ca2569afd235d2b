#!/usr/bin/env python3
"""Charges at the provider `primary`, and at `backup` when that fails.

`careful` turns to the backup only when the first provider knows nothing of the order; `at-once` does so after any
failure. Runs in stdio mode, where each line names the providers, and in exec mode, where variables do.
"""

import http.client
import json
import os
import sys
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10


def ask(method, base, path, key, body=None, idempotency_key=None):
    """The status and the body, or None when no whole answer came."""
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT_SECONDS)
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    try:
        connection.request(method, place.path.rstrip("/") + path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def charge(operation, base, key):
    for _ in range(2):
        body = json.dumps(operation["input"]).encode()
        answer = ask("POST", base, "/v1/charges", key, body, operation["id"])
        if answer and answer[0] == 201:
            return True
        time.sleep(0.1)
    return False


def knows(operation, base, key):
    answer = ask("GET", base, "/v1/charges?order=" + operation["input"]["order"], key)
    return answer is not None and len(json.loads(answer[1])["data"]) > 0


def pay(operation, urls, keys, careful):
    """Outcome and provider."""
    if charge(operation, urls["primary"], keys["primary"]):
        return "succeeded", "primary"
    if careful and knows(operation, urls["primary"], keys["primary"]):
        return "succeeded", "primary"
    if charge(operation, urls["backup"], keys["backup"]):
        return "succeeded", "backup"
    return "unknown", None


def from_variables(what):
    return {name: os.environ[f"BROWNOUT_{what}_{name.upper()}"] for name in ("primary", "backup")}


def main():
    careful = sys.argv[1] == "careful"
    if "BROWNOUT_OPERATION" in os.environ:
        operation = json.loads(os.environ["BROWNOUT_OPERATION"])
        outcome, provider = pay(operation, from_variables("URL"), from_variables("API_KEY"), careful)
        print("BROWNOUT_OUTCOME", json.dumps({"outcome": outcome, "provider": provider}))
        return
    for line in sys.stdin:
        operation = json.loads(line)
        outcome, provider = pay(operation, operation["urls"], operation["api_keys"], careful)
        answer = {"id": operation["id"], "submit": operation["submit"], "outcome": outcome, "provider": provider}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
