#!/usr/bin/env python3
"""Takes one payment with the `stripe` package's module API as it comes.

`STRIPE_API_KEY` and `STRIPE_API_BASE` are this program's own settings, as the package's documentation
suggests them; everything else (two retries, an idempotency key per call) is the package's default.
"""

import json
import os

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
stripe.api_base = os.environ.get("STRIPE_API_BASE", stripe.api_base)
if "STRIPE_TIMEOUT" in os.environ:
    stripe.default_http_client = stripe.RequestsClient(timeout=float(os.environ["STRIPE_TIMEOUT"]))

job = json.loads(os.environ["BROWNOUT_OPERATION"])
intent = stripe.PaymentIntent.create(**job["input"])
print("paid:", intent)
