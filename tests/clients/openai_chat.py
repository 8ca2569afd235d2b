#!/usr/bin/env python3
"""Asks a model one question with the `openai` package as it comes, and prints the answer.

Where the input says `stream`, the answer is taken as a stream: whatever came until it ended is the answer.
The package reads `OPENAI_BASE_URL` and `OPENAI_API_KEY` itself. `CHAT_TIMEOUT` (seconds) is this
program's own setting; without it the package's ten minutes hold.
"""

import json
import os

from openai import OpenAI

settings = {}
if "CHAT_TIMEOUT" in os.environ:
    settings["timeout"] = float(os.environ["CHAT_TIMEOUT"])

job = json.loads(os.environ["BROWNOUT_OPERATION"])
client = OpenAI(**settings)
question = {name: job["input"][name] for name in ("model", "messages", "stream") if name in job["input"]}
answer = client.chat.completions.create(**question)
if question.get("stream"):
    answer = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
print("answered:", answer)
