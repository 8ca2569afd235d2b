"""A stream that ends early, in perfect order, read with the `openai` package."""

import openai

from story import Unknown, play, seconds

MODEL = ("model", "messages", "stream")


def pieces(operation):
    """The pieces of an answer: their text, and why the model stopped where it says so."""
    client = openai.OpenAI(
        base_url=operation["url"] + "/v1", api_key=operation["api_key"], max_retries=0, timeout=seconds(10)
    )
    for event in client.chat.completions.create(**{name: operation["input"][name] for name in MODEL}):
        for choice in event.choices:
            yield choice.delta.content or "", choice.finish_reason


def flawed(operation):
    return "".join(text for text, _ in pieces(operation))


def fixed(operation):
    whole, reason = "", None
    for text, why in pieces(operation):
        whole, reason = whole + text, why or reason
    if reason != "stop":
        # It may be bought, and it is not here: whether to pay for it again is not for this function to say.
        raise Unknown(f"the answer broke off after {len(whole)} characters")
    return whole


play(flawed, fixed)
