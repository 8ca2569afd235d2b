#!/usr/bin/env python3
"""Asks a model one question with the `openai` package, and pays for one answer at most.

Chat completions take no idempotency key, so a repeat after an ambiguous end (a 500, a lost response,
a time-out) may buy the answer twice. This program switches the package's own retries off, repeats only
what was refused outright (429, unless the quota is used up), waits as long as it is asked to, looks
into the answer, and says `unknown` (exit code 75) where it does not know.
"""

import json
import os
import random
import sys
import time
from email.utils import parsedate_to_datetime

import openai

MAX_ATTEMPTS = 5
EXIT_UNKNOWN = 75


def ask(question, deadline_seconds):
    give_up_at = time.monotonic() + deadline_seconds - 0.5
    client = openai.OpenAI(max_retries=0, timeout=1.5)
    for number in range(1, MAX_ATTEMPTS + 1):
        try:
            answer = client.chat.completions.create(**question)
            return content_of(answer)
        except openai.RateLimitError as refusal:
            if refusal.code == "insufficient_quota" or number == MAX_ATTEMPTS:
                sys.exit(f"refused: {refusal}")
            pause = max(asked_wait(refusal.response), 0.5 * 2**number * random.uniform(0.5, 1))
            if time.monotonic() + pause >= give_up_at:
                sys.exit(f"refused, and the wait is too long: {refusal}")
            time.sleep(pause)
        except (openai.APIConnectionError, openai.InternalServerError, openai.ConflictError) as problem:
            not_known(problem)
        except ValueError as problem:
            not_known(problem)


def content_of(answer):
    """The text of the answer; a 200 that holds none proves that something was made, but not what."""
    choices = getattr(answer, "choices", None)
    if not choices or not isinstance(choices[0].message.content, str):
        raise ValueError("the answer has no content")
    return choices[0].message.content


def asked_wait(response):
    """The seconds that the answer asks for: `retry-after-ms`, or `Retry-After` as seconds or a date."""
    try:
        if "retry-after-ms" in response.headers:
            return float(response.headers["retry-after-ms"]) / 1000
        text = response.headers.get("retry-after", "")
        if text.isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def not_known(problem):
    print(f"unknown: {problem}")
    sys.exit(EXIT_UNKNOWN)


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    print(ask({name: job["input"][name] for name in ("model", "messages")}, job["deadline_ms"] / 1000))
