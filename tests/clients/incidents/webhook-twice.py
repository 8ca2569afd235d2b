"""A partner's webhook fires twice, and a shop writes down whatever comes.

It is a service: it listens at PORT, and is told of payments as events.
"""

import json
import os
import sys
import threading
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IS_FIXED = {"flawed": False, "fixed": True}[sys.argv[1]]
handled, at_the_books = set(), threading.Lock()


def write_down(order, key):
    """Leaves a record with the provider, and with it a mail to the customer."""
    request = urllib.request.Request(
        os.environ["BROWNOUT_URL"] + "/v1/notifications",
        data=json.dumps({"order": order, "message": "paid"}).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"],
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)["status"] == "sent"


def flawed(event, order):
    return write_down(order, str(uuid.uuid4()))


def fixed(event, order):
    # One at a time: two deliveries of an event may come together. A restart forgets the set, but not the key.
    with at_the_books:
        if event in handled:
            return True
        if write_down(order, event):
            handled.add(event)
        return event in handled


class Shop(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        handle = fixed if IS_FIXED else flawed
        try:
            is_done = handle(self.headers["webhook-id"], body["data"]["order"])
        except OSError:
            is_done = False
        self.send_response(200 if is_done else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
