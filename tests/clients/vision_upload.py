#!/usr/bin/env python3
"""Uploads a file in pieces, to an API that says how much of it is there.

`careful` asks how much is there after every failure, goes on from there, and compares the checksum in the end.
`restarts` begins from zero after every failure; `trusting` goes on from where it is itself, and looks at no
checksum. Runs in stdio mode.
"""

import hashlib
import http.client
import json
import sys
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5
PAUSE_SECONDS = 0.1
PIECE = 2500
TRIES = 30


def ask(method, base, path, key, body, headers):
    """Status, headers and body, or None when no whole answer came."""
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Authorization": "Bearer " + key, **headers}
        connection.request(method, place.path.rstrip("/") + path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Upload:
    def __init__(self, operation, kind):
        self.operation, self.kind = operation, kind
        self.content = operation["input"]["content"].encode()

    def ask(self, method, path, body, headers):
        return ask(method, self.operation["url"], path, self.operation["api_key"], body, headers)

    def begin(self, nth):
        body = {key: value for key, value in self.operation["input"].items() if key != "content"}
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{self.operation['id']}-{nth}"}
        answer = self.ask("POST", "/v1/uploads", json.dumps(body).encode(), headers)
        return answer[1]["Location"] if answer and answer[0] == 201 else None

    def how_much(self, place):
        """How many bytes are there; None when nobody says, and -1 for all."""
        answer = self.ask("PUT", place, b"", {"Content-Range": f"bytes */{len(self.content)}"})
        if not answer or answer[0] not in (200, 308):
            return None
        return -1 if answer[0] == 200 else offset(answer[1])

    def is_whole(self, body):
        return json.loads(body)["sha256"] == hashlib.sha256(self.content).hexdigest()

    def send(self, place):
        """`done`, or why not: `spoilt`, `expired`, `lost`."""
        at, size = 0, len(self.content)
        for _ in range(TRIES):
            piece = self.content[at : at + PIECE]
            span = f"bytes {at}-{at + len(piece) - 1}/{size}"
            answer = self.ask("PUT", place, piece, {"Content-Range": span})
            if answer and answer[0] == 200:
                return "done" if self.kind == "trusting" or self.is_whole(answer[2]) else "spoilt"
            if answer and answer[0] == 403:
                return "expired"
            if answer and answer[0] == 308 and self.kind != "trusting":
                at = min(offset(answer[1]), size - 1)
                continue
            if answer and answer[0] == 308:
                at = min(at + PIECE, size - 1)
                continue
            time.sleep(PAUSE_SECONDS)
            if self.kind == "restarts":
                return "lost"
            if self.kind == "careful":
                at = max(self.how_much(place) or 0, 0)
        return "lost"

    def outcome(self):
        for nth in range(5):
            place = self.begin(nth)
            if not place:
                time.sleep(PAUSE_SECONDS)
                continue
            if self.send(place) == "done":
                return "succeeded"
        return "unknown"


def offset(headers):
    """How much is there, by `Range: bytes=0-LAST`."""
    there = headers.get("Range")
    return int(there.rsplit("-", 1)[1]) + 1 if there else 0


def main():
    for line in sys.stdin:
        operation = json.loads(line)
        outcome = Upload(operation, sys.argv[1]).outcome()
        answer = {"id": operation["id"], "submit": operation["submit"], "outcome": outcome}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
