#!/usr/bin/env python3
"""Charges with a random key per operation, which it keeps in a file (`file`) or in memory (`memory`).

Both send the same key with every attempt as long as they live. Only the first still knows it after a sudden
death. Runs in stdio and in exec mode.
"""

import http.client
import json
import os
import sys
import uuid
from urllib.parse import urlsplit

MAX_ATTEMPTS = 5
TIMEOUT_SECONDS = 10

remembered = {}


def key_in_memory(operation):
    return remembered.setdefault(operation["id"], str(uuid.uuid4()))


def key_in_file(operation):
    path = os.path.join(os.environ["BROWNOUT_STATE_DIR"], operation["id"] + ".key")
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        key = str(uuid.uuid4())
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        # Whoever is killed now has a whole key, or none and nothing sent.
        os.rename(path + ".new", path)
        return key


def charge(operation, key):
    base = urlsplit(operation["url"])
    for _ in range(MAX_ATTEMPTS):
        connection = http.client.HTTPConnection(base.hostname, base.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(
                "POST",
                base.path.rstrip("/") + "/v1/charges",
                body=json.dumps(operation["input"]).encode(),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": "Bearer " + operation["api_key"],
                    "Idempotency-Key": key,
                },
            )
            answer = connection.getresponse()
            if answer.status == 201 and json.loads(answer.read())["status"] == "succeeded":
                return "succeeded"
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
    return "unknown"


def main():
    key_of = {"memory": key_in_memory, "file": key_in_file}[sys.argv[1]]
    if "BROWNOUT_OPERATION" in os.environ:
        operation = json.loads(os.environ["BROWNOUT_OPERATION"])
        sys.exit(0 if charge(operation, key_of(operation)) == "succeeded" else 75)
    for line in sys.stdin:
        operation = json.loads(line)
        outcome = charge(operation, key_of(operation))
        answer = {"id": operation["id"], "submit": operation["submit"], "outcome": outcome}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
