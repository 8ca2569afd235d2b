#!/usr/bin/env python3
"""Asks a model one question with the `openai` package, and pays for one answer at most.

Chat completions take no idempotency key, so a repeat after an ambiguous end (a 500, a lost response,
a time-out) may buy the answer twice. This program switches the package's own retries off, repeats only
what was refused outright (429, unless the quota is used up), waits as long as it is asked to, looks
into the answer, and says `unknown` (exit code 75) where it does not know. A stream is an answer only when
the model has said that it stopped and the stream has said that it is over.
"""

import json
import os
import random
import sys
import time

import httpx
import openai
from sdk_waits import asked_wait, not_known

MAX_ATTEMPTS = 5


def ask(question, deadline_seconds):
    give_up_at = time.monotonic() + deadline_seconds - 0.5
    client = openai.OpenAI(max_retries=0, timeout=1.5)
    for number in range(1, MAX_ATTEMPTS + 1):
        try:
            if question.get("stream"):
                return content_of_stream(client, question)
            return content_of(client.chat.completions.create(**question))
        except openai.RateLimitError as refusal:
            if refusal.code == "insufficient_quota" or number == MAX_ATTEMPTS:
                sys.exit(f"refused: {refusal}")
            pause = max(asked_wait(refusal.response), 0.5 * 2**number * random.uniform(0.5, 1))
            if time.monotonic() + pause >= give_up_at:
                sys.exit(f"refused, and the wait is too long: {refusal}")
            time.sleep(pause)
        except (openai.APIConnectionError, openai.InternalServerError, openai.ConflictError) as problem:
            not_known(problem)
        except (ValueError, openai.APIError, httpx.HTTPError) as problem:
            not_known(problem)


def content_of_stream(client, question):
    """The text of a stream that came whole: the package does not say whether `[DONE]` came, the wire does."""
    pieces, reason, is_over = [], None, False
    with client.chat.completions.with_streaming_response.create(**question) as response:
        for line in response.iter_lines():
            if line == "data: [DONE]":
                is_over = True
            elif line.startswith("data: "):
                for choice in json.loads(line[len("data: "):])["choices"]:
                    pieces.append(choice["delta"].get("content") or "")
                    reason = choice["finish_reason"] or reason
    if not is_over or reason != "stop":
        raise ValueError(f"the stream broke off after {len(pieces)} pieces ({reason})")
    return "".join(pieces)


def content_of(answer):
    """The text of the answer; a 200 that holds none proves that something was made, but not what."""
    choices = getattr(answer, "choices", None)
    if not choices or not isinstance(choices[0].message.content, str):
        raise ValueError("the answer has no content")
    return choices[0].message.content


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    question = {name: job["input"][name] for name in ("model", "messages", "stream") if name in job["input"]}
    print(ask(question, job["deadline_ms"] / 1000))
