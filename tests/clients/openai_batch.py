#!/usr/bin/env python3
"""A script that summarizes a handful of notes with the `openai` package, one after the other.

It knows only the package's own settings (`OPENAI_BASE_URL`, `OPENAI_API_KEY`): a program for suite mode.
"""

from openai import OpenAI, OpenAIError

NOTES = ["the cat sat on the mat", "rain until noon, then sun", "the build is green again", "buy milk"]

client = OpenAI()
for note in NOTES:
    try:
        answer = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Summarize in three words: " + note}],
        )
        print(note, "->", answer.choices[0].message.content)
    except OpenAIError as problem:
        print(note, "->", "no summary:", problem)
