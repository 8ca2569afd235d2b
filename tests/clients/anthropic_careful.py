#!/usr/bin/env python3
"""Asks a model one question with the `anthropic` package, and pays for one answer at most.

Messages take no idempotency key, so a repeat after an ambiguous end (a 500, a lost response, a time-out) may
buy the answer twice. This program switches the package's own retries off, repeats only what was refused
outright (429, unless the spending limit is reached), waits as long as it is asked to, looks into the answer,
and says `unknown` (exit code 75) where it does not know. A stream is an answer only when its last event came.
"""

import json
import os
import random
import sys
import time

import anthropic
from sdk_waits import asked_wait, not_known

MAX_ATTEMPTS = 5


def ask(question, deadline_seconds):
    give_up_at = time.monotonic() + deadline_seconds - 0.5
    client = anthropic.Anthropic(max_retries=0, timeout=1.5)
    for number in range(1, MAX_ATTEMPTS + 1):
        try:
            if question.get("stream"):
                return content_of_stream(client.messages.create(**question))
            return content_of(client.messages.create(**question))
        except anthropic.RateLimitError as refusal:
            if is_final(refusal) or number == MAX_ATTEMPTS:
                sys.exit(f"refused: {refusal}")
            pause = max(asked_wait(refusal.response), 0.5 * 2**number * random.uniform(0.5, 1))
            if time.monotonic() + pause >= give_up_at:
                sys.exit(f"refused, and the wait is too long: {refusal}")
            time.sleep(pause)
        except (anthropic.BadRequestError, anthropic.AuthenticationError, anthropic.PermissionDeniedError):
            raise
        except Exception as problem:  # anything else may have been generated
            not_known(problem)


def is_final(refusal):
    body = refusal.body if isinstance(refusal.body, dict) else {}
    return "error_code" in (body.get("error", {}).get("details") or {})


def content_of(answer):
    """The text of the answer; a 200 that holds none proves that something was made, but not what."""
    content = getattr(answer, "content", None)
    if not content or getattr(answer, "stop_reason", None) not in ("end_turn", "stop_sequence"):
        raise ValueError("the answer is not whole")
    return content[0].text


def content_of_stream(events):
    """The text of a stream that came whole."""
    pieces, reason, last = [], None, None
    for event in events:
        last = event.type
        if last == "content_block_delta":
            pieces.append(event.delta.text)
        elif last == "message_delta":
            reason = event.delta.stop_reason
    if last != "message_stop" or reason not in ("end_turn", "stop_sequence"):
        raise ValueError(f"the stream broke off after {len(pieces)} pieces ({reason})")
    return "".join(pieces)


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    print(ask(job["input"], job["deadline_ms"] / 1000))
