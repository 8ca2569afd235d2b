"""A tiny shop: it takes money through the payments API and describes goods through OpenAI."""

import json
import os
import time
import urllib.error
import urllib.request

from openai import OpenAI


class PaymentDeclined(Exception):
    """The provider refused for good."""


class PaymentUnclear(Exception):
    """Nobody knows whether the money was taken."""


def checkout(order, amount):
    """Takes `amount` cents for `order` and returns the charge's id."""
    request = urllib.request.Request(
        os.environ["PAYMENTS_URL"] + "/v1/charges",
        data=json.dumps({"amount": amount, "currency": "usd", "order": order}).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Bearer " + os.environ["PAYMENTS_API_KEY"],
            "Idempotency-Key": "checkout-" + order,
        },
    )
    for attempt in range(4):
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:
                return json.load(answer)["id"]
        except urllib.error.HTTPError as refusal:
            if refusal.code < 500 and refusal.code not in (408, 409, 425, 429):
                raise PaymentDeclined(refusal.reason) from refusal
            wait = refusal.headers.get("Retry-After", "")
            time.sleep(float(wait) if wait.isdigit() else 0.2 * 2**attempt)
        except OSError:
            time.sleep(0.2 * 2**attempt)
    raise PaymentUnclear(order)


def describe(article):
    """One sentence about an article, written by a model."""
    answer = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "One sentence about: " + article}],
    )
    return answer.choices[0].message.content
