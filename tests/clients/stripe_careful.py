#!/usr/bin/env python3
"""Takes one payment with the `stripe` package, exactly once and honestly.

The package repeats a lost call with one key, but it gives up on a 429 at once and takes any 200 for a
payment. This program names the key itself (from what the payment is for), so that its own repeats carry
the same key, and it looks into the answer before it says that somebody paid.
"""

import json
import os
import random
import signal
import sys
import time

import stripe

MAX_ATTEMPTS = 6
EXIT_UNKNOWN = 75

stripe.api_key = os.environ["STRIPE_API_KEY"]
stripe.api_base = os.environ.get("STRIPE_API_BASE", stripe.api_base)
stripe.max_network_retries = 0
stripe.default_http_client = stripe.RequestsClient(timeout=1.5)


class TooSlow(Exception):
    """The call as a whole took too long: the package's time-out starts anew with every byte that comes."""


def too_slow(_signal, _frame):
    raise TooSlow("no whole answer in time")


signal.signal(signal.SIGALRM, too_slow)


def pay(order, deadline_seconds):
    """Returns the payment's id; exits with what is known where there is none."""
    give_up_at = time.monotonic() + deadline_seconds - 0.5
    may_have_happened = False
    last = None
    for number in range(1, MAX_ATTEMPTS + 1):
        asked = 0.0
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        try:
            intent = stripe.PaymentIntent.create(
                **order, idempotency_key="payment-" + order["metadata"]["order"]
            )
            if is_paid(intent, order):
                return intent.id
            last, may_have_happened = "an answer that is no receipt", True
        except stripe.RateLimitError as refusal:
            last, asked = refusal, asked_wait(refusal)
        except (stripe.CardError, stripe.AuthenticationError, stripe.PermissionError) as refusal:
            give_up(refusal, may_have_happened)
        except stripe.StripeError as problem:
            status = problem.http_status
            if status is not None and 400 <= status < 500 and status not in (408, 409, 425):
                give_up(problem, may_have_happened)
            last, may_have_happened, asked = problem, True, asked_wait(problem)
        except TooSlow as problem:
            last, may_have_happened = problem, True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        pause = max(asked, min(2.0, 0.2 * 2**number) * random.uniform(0.5, 1.0))
        if time.monotonic() + pause >= give_up_at:
            break
        time.sleep(pause)
    give_up(last, may_have_happened)


def is_paid(intent, order):
    """True when the answer says that this very amount was taken."""
    said = intent.to_dict()
    return (
        isinstance(said.get("id"), str)
        and said.get("status") == "succeeded"
        and said.get("amount") == order["amount"]
    )


def asked_wait(problem):
    """The seconds that the answer asks for; 0 where it asks for none."""
    text = (problem.headers or {}).get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def give_up(problem, may_have_happened):
    words = " ".join(str(problem).split())
    print(("unknown: " if may_have_happened else "failed: ") + words)
    sys.exit(EXIT_UNKNOWN if may_have_happened else 1)


if __name__ == "__main__":
    job = json.loads(os.environ["BROWNOUT_OPERATION"])
    print("paid:", pay(job["input"], job["deadline_ms"] / 1000))
