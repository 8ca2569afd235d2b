#!/usr/bin/env python3
"""Asks a model one question with the `anthropic` package as it comes, and prints the answer.

The package reads `ANTHROPIC_BASE_URL` and `ANTHROPIC_API_KEY` itself. Where the input says `stream`, whatever
came until the stream ended is the answer. `MESSAGE_TIMEOUT` (seconds) is this program's own setting; without
it the package's ten minutes hold.
"""

import json
import os

from anthropic import Anthropic

settings = {}
if "MESSAGE_TIMEOUT" in os.environ:
    settings["timeout"] = float(os.environ["MESSAGE_TIMEOUT"])

question = dict(json.loads(os.environ["BROWNOUT_OPERATION"])["input"])
client = Anthropic(**settings)
if question.pop("stream", False):
    with client.messages.stream(**question) as stream:
        answer = "".join(stream.text_stream)
else:
    answer = client.messages.create(**question)
print("answered:", answer)
