#!/usr/bin/env python3
"""A script that takes the payments of a handful of orders with the `stripe` package: for suite mode."""

import os

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
stripe.api_base = os.environ.get("STRIPE_API_BASE", stripe.api_base)

for number in range(1, 5):
    try:
        intent = stripe.PaymentIntent.create(
            amount=1000 + number, currency="usd", metadata={"order": f"order-{number}"}
        )
        print("order", number, "paid:", intent.id)
    except stripe.StripeError as problem:
        print("order", number, "not paid:", problem)
