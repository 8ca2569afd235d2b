"""Sends by the vendors' own packages what is not valid, and says how each package takes the refusal.

    not_valid.py {"stripe": URL, "openai": URL, "anthropic": URL}
"""

import json
import sys

import anthropic
import openai
import stripe

urls = json.loads(sys.argv[1])
stripe.api_base, stripe.api_key, stripe.max_network_retries = urls["stripe"], "sk_test_x", 0
gpt = openai.OpenAI(base_url=urls["openai"] + "/v1", api_key="sk-x", max_retries=0)
claude = anthropic.Anthropic(base_url=urls["anthropic"], api_key="sk-ant-x", max_retries=0)
MODEL = "some-model"

ASKED = {
    "stripe intent": lambda: stripe.PaymentIntent.create(currency="usd"),
    "stripe charge": lambda: stripe.Charge.create(amount=-1, currency="usd"),
    "stripe refund": lambda: stripe.Refund.create(amount=5),
    "openai chat": lambda: gpt.chat.completions.create(model=MODEL, messages="hello"),
    "openai response": lambda: gpt.responses.create(model=MODEL, extra_body={"model": None}),
    "openai embedding": lambda: gpt.embeddings.create(model=MODEL, input=None),
    "anthropic message": lambda: claude.messages.create(model=MODEL, max_tokens=0, messages=[]),
}

for name, ask in ASKED.items():
    try:
        ask()
        print(name, "was taken")
    except stripe.StripeError as error:
        print(name, type(error).__name__, error.http_status, error.code, error.param, error.user_message, sep=" | ")
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        print(name, type(error).__name__, error.status_code, json.dumps(error.body), sep=" | ")
