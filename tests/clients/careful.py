#!/usr/bin/env python3
"""Charges as one should: exactly once, patiently, and honestly about the outcome.

- One idempotency key per operation, made from what the operation is about, so that every attempt (also
  one after a restart of this program) carries the same key.
- Exponential backoff with jitter, never sooner than the provider asked for (`Retry-After` in seconds or
  as a date), never past the caller's deadline.
- An answer counts only when its body says what was asked for; a 200 alone proves nothing.
- What is permanent is not repeated. What may have happened is called `unknown`, not `failed`.
"""

import http.client
import json
import os
import random
import sys
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

MAX_ATTEMPTS = 6
ATTEMPT_TIMEOUT_SECONDS = 1.5
BACKOFF_FIRST_SECONDS = 0.15
BACKOFF_CAP_SECONDS = 2.0
# The caller wants to hear from us before its deadline, not at it.
DEADLINE_MARGIN_SECONDS = 0.3

SUCCEEDED, FAILED, UNKNOWN = "succeeded", "failed", "unknown"
EXIT_CODES = {SUCCEEDED: 0, FAILED: 1, UNKNOWN: 75}

# The request was refused before any work: it is as if it had never been sent.
REFUSED = "refused"
# Nobody knows whether the work was done; only the key makes a repeat safe.
AMBIGUOUS = "ambiguous"
# Refused, and a repeat would be refused again.
PERMANENT = "permanent"
DONE = "done"


class Attempt:
    """How one request ended, in the terms that decide what to do next."""

    def __init__(self, end, detail, wait_seconds=0.0):
        self.end = end
        self.detail = detail
        self.wait_seconds = wait_seconds


def charge(operation):
    """Performs one operation; returns its outcome and a word of explanation."""
    give_up_at = time.monotonic() + operation["deadline_ms"] / 1000 - DEADLINE_MARGIN_SECONDS
    may_have_happened = False
    last = "no attempt was made"
    for number in range(1, MAX_ATTEMPTS + 1):
        left = give_up_at - time.monotonic()
        if left <= 0:
            break
        attempt = send(operation, min(ATTEMPT_TIMEOUT_SECONDS, left))
        last = attempt.detail
        if attempt.end == DONE:
            return SUCCEEDED, last
        if attempt.end == PERMANENT:
            return (UNKNOWN if may_have_happened else FAILED), last
        may_have_happened = may_have_happened or attempt.end == AMBIGUOUS
        pause = max(backoff(number), attempt.wait_seconds)
        if number == MAX_ATTEMPTS or time.monotonic() + pause >= give_up_at:
            break
        time.sleep(pause)
    return (UNKNOWN if may_have_happened else FAILED), "gave up: " + last


def send(operation, timeout_seconds):
    """Sends one request and judges its end."""
    order = operation["input"]
    base = urlsplit(operation["url"])
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=timeout_seconds)
    started = time.monotonic()
    try:
        connection.request(
            "POST",
            base.path.rstrip("/") + "/v1/charges",
            body=json.dumps(order).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": "Bearer " + operation["api_key"],
                "Idempotency-Key": "charge-" + order["order"],
            },
        )
        answer = connection.getresponse()
        body = read_whole(answer, started + timeout_seconds)
    except ConnectionRefusedError as problem:
        return Attempt(REFUSED, "connection refused: " + str(problem))
    except (OSError, http.client.HTTPException) as problem:
        return Attempt(AMBIGUOUS, type(problem).__name__ + ": " + str(problem))
    finally:
        connection.close()
    return judge(order, answer, body)


def read_whole(answer, until):
    """Reads the body, but not for ever: a socket's time-out starts anew with every byte that drips in."""
    pieces = []
    while True:
        piece = answer.read1(65536)
        if not piece:
            if answer.length:
                raise http.client.IncompleteRead(b"".join(pieces), answer.length)
            return b"".join(pieces)
        pieces.append(piece)
        if time.monotonic() > until:
            raise TimeoutError("the answer did not end in time")


def judge(order, answer, body):
    """Says what a whole answer means for this order."""
    status = answer.status
    said = "status " + str(status)
    if 200 <= status < 300:
        if is_charge_of(order, body):
            return Attempt(DONE, "charged " + json.loads(body)["id"])
        return Attempt(AMBIGUOUS, said + " with a body that is no receipt for this order")
    wait_seconds = asked_wait(answer) or 0.0
    if status == 429 and is_used_up(body):
        return Attempt(PERMANENT, said + " that never heals")
    if status == 429:
        return Attempt(REFUSED, said, wait_seconds)
    if status in (408, 409, 425) or status >= 500:
        return Attempt(AMBIGUOUS, said, wait_seconds)
    return Attempt(PERMANENT, said)


def is_used_up(body):
    """True for the 429s that never heal: only the code tells them from a limit."""
    try:
        return json.loads(body)["error"]["code"] in ("insufficient_quota", "spend_limit")
    except (ValueError, KeyError, TypeError):
        return False


def is_charge_of(order, body):
    """True when the body is the receipt for this very order."""
    try:
        charged = json.loads(body)
    except ValueError:
        return False
    return (
        isinstance(charged, dict)
        and isinstance(charged.get("id"), str)
        and charged.get("status") == "succeeded"
        and all(charged.get(field) == value for field, value in order.items())
    )


def asked_wait(answer):
    """The seconds that `Retry-After` asks for; None when it says nothing that makes sense."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max(0.0, until.timestamp() - time.time())


def backoff(number):
    """The pause after the given attempt: doubling, capped, and spread so that clients do not march in step."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (number - 1))
    return ceiling * random.uniform(0.5, 1.0)


if __name__ == "__main__":
    outcome, detail = charge(json.loads(os.environ["BROWNOUT_OPERATION"]))
    print(outcome + ": " + detail)
    sys.exit(EXIT_CODES[outcome])
