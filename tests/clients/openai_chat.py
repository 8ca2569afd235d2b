#!/usr/bin/env python3
"""Asks a model one question with the `openai` package as it comes, and prints the answer.

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
answer = client.chat.completions.create(
    model=job["input"]["model"], messages=job["input"]["messages"]
)
print("answered:", answer)
