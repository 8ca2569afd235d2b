"""A shop that charges through the stripe SDK and listens to Stripe's events, which the SDK itself checks.

    stripe_hooks.py

GET /seen says how many events were taken, and how many were refused for their signature.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
stripe.api_base = os.environ["STRIPE_API_BASE"]
stripe.max_network_retries = 2
SECRET = os.environ["STRIPE_WEBHOOK_SECRET"]


def say(*words):
    """One line at once: deliveries may come together."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Shop(BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, {"status": "up"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hooks":
            try:
                signature = self.headers.get("Stripe-Signature", "")
                event = stripe.Webhook.construct_event(body, signature, SECRET)
            except (ValueError, stripe.SignatureVerificationError) as error:
                say("refused:", type(error).__name__, str(error).split(";")[0][:60])
                self.answer(400, {"error": "signature"})
                return
            intent = event["data"]["object"]
            say("taken:", event["type"], intent["object"], intent["amount"])
            kept = stripe.Event.retrieve(event["id"])
            same = kept.to_dict() == event.to_dict()
            listed = [one.id for one in stripe.Event.list(type=event["type"]).data]
            others = stripe.Event.list(type="charge.refunded").data
            say("kept:", same, listed == [event["id"]], len(others))
            self.answer(200, {"received": True})
            return
        order = json.loads(body)
        intent = stripe.PaymentIntent.create(
            amount=order["amount"],
            currency="usd",
            confirm=True,
            payment_method="pm_card_visa",
            metadata={"order": order["order"]},
            idempotency_key=order["order"],
        )
        self.answer(201, {"id": intent["id"]})

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
