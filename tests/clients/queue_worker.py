"""A worker of a queue: receives messages, does their work, and deletes what is done.

Standard library only. With an argument it is a careless one:
`receipt` makes its keys of the receipt, `swallow` deletes what failed, `block` tries one message for ever,
`batch` does the same and receives ten at a time, `abort` receives ten at a time and drops the rest when one fails,
`forget` never deletes, `eager` deletes before it works. With `mortal` the second of several copies ends as soon as it was handed a message; with `second` the first
never asks, and with `bare` neither does it, nor does the second say who it is.
"""

import http.client
import json
import os
import sys
import time
import urllib.parse

BASE = urllib.parse.urlsplit(os.environ["BROWNOUT_URL"])
BUG = sys.argv[1] if len(sys.argv) > 1 else ""
PATH, KEY = BASE.path, os.environ["BROWNOUT_API_KEY"]
if BUG == "bare":
    PATH, KEY = "", KEY.split("~")[0]


def ask(method, path, body=None, key=None):
    """The status and the answer; 0 where there was none."""
    headers = {"Authorization": "Bearer " + KEY, "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    connection = http.client.HTTPConnection(BASE.hostname, BASE.port, timeout=5)
    try:
        connection.request(method, PATH + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except (OSError, ValueError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()


def handle(message):
    """True when the work of a message is known to be done."""
    body = message["body"]
    if not isinstance(body, dict):
        print("cannot read", message["id"], file=sys.stderr)
        return False
    key = message["receipt"] if BUG == "receipt" else message["id"]
    for _ in range(3):
        status, answer = ask("POST", "/v1/work", {"order": body["order"], "amount": body["amount"]}, key)
        if status == 201 and answer.get("status") == "done":
            return True
        if 400 <= status < 500 and status not in (408, 409, 425, 429):
            return False
        if BUG == "receipt":
            return False
        time.sleep(0.05)
    return False


def delete(message):
    receipt = urllib.parse.quote(message["receipt"])
    ask("DELETE", f"/v1/messages/{message['id']}?receipt={receipt}")


def main():
    if BUG in ("second", "bare") and os.environ["BROWNOUT_CLIENT"] == "1":
        time.sleep(3600)
    while True:
        status, answer = ask("POST", "/v1/messages/receive", {"max": 10 if BUG in ("batch", "abort") else 1})
        messages = answer["messages"] if status == 200 else []
        if messages and BUG == "mortal" and os.environ["BROWNOUT_CLIENT"] == "2":
            sys.exit(1)
        if not messages:
            time.sleep(0.05)
        for message in messages:
            if BUG == "eager":
                delete(message)
            done = handle(message)
            while BUG in ("block", "batch") and not done:
                time.sleep(0.2)
                done = handle(message)
            if BUG == "abort" and not done:
                break
            if (done or BUG == "swallow") and BUG not in ("forget", "eager"):
                delete(message)


main()
