"""A shop that is told of payments by webhooks, and sends its customer one message for each.

    hooks.py careful|behind|again|gullible|slow|lie

careful checks the signature and the time, and makes the key of its message of the event's id; behind says 200 at
once, and sends its message a while later, as often as it takes; again makes a new key each time it is told;
gullible believes whatever comes; slow takes its time before it answers; lie says 200 although its message was not
sent.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KIND = sys.argv[1]
KEY = base64.b64decode(os.environ["PAYMENTS_WEBHOOK_SECRET"].removeprefix("whsec_"))


def is_genuine(headers, body):
    name, at, signatures = (headers.get("webhook-" + one, "") for one in ("id", "timestamp", "signature"))
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    made = hmac.new(KEY, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    right = "v1," + base64.b64encode(made).decode()
    return any(hmac.compare_digest(right, one) for one in signatures.split())


def notify(order, event):
    """True when the message is sent, as far as anybody knows."""
    request = urllib.request.Request(
        os.environ["BROWNOUT_URL"] + "/v1/notifications",
        data=json.dumps({"order": order, "message": "paid"}).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"],
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()) if KIND == "again" else event,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)["status"] == "sent"
    except OSError:
        return False


def notify_behind(order, event):
    time.sleep(2.5)
    while not notify(order, event):
        time.sleep(0.2)


class Shop(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200
        if KIND != "gullible" and not is_genuine(self.headers, body):
            status = 400
        elif KIND == "behind":
            work = (json.loads(body)["data"]["order"], self.headers.get("webhook-id", ""))
            threading.Thread(target=notify_behind, args=work).start()
        elif not notify(json.loads(body)["data"]["order"], self.headers.get("webhook-id", "")):
            status = 200 if KIND == "lie" else 500
        if KIND == "slow":
            time.sleep(7)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
