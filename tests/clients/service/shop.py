"""A shop that charges its customers through an API: a service, as http mode tests them.

    shop.py careful|careless|later|stale|zombie

careful asks the payments API with one key per order and says honestly what became of it; careless makes a new
key for each attempt; later answers 202 and charges behind its own answer, to be asked again; stale answers from
a cache when the API fails, and says so by 203; zombie says that it failed, and goes on behind its answer.
"""

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
ATTEMPTS = 4
STATES = {}


def charge(order, trace, attempts=ATTEMPTS):
    """What became of it: paid, declined or unknown."""
    key = str(order["order"])
    for attempt in range(attempts):
        if KIND == "careless":
            key = str(uuid.uuid4())
        request = urllib.request.Request(
            os.environ["BROWNOUT_URL"] + "/v1/charges",
            data=json.dumps(order).encode(),
            headers={
                "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"],
                "Content-Type": "application/json",
                "Idempotency-Key": key,
                **({"traceparent": trace} if trace else {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                return "paid" if json.load(answer)["status"] == "succeeded" else "unknown"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 409, 425, 429):
                return "declined"
        except OSError:
            pass
        if attempt + 1 < attempts:
            time.sleep(0.01)
    return "unknown"


class Shop(BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "up"})
        else:
            state = STATES.get(self.path.rsplit("/", 1)[1])
            self.answer(200 if state else 404, {"status": state or "lost"})

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        trace = self.headers.get("traceparent")
        if KIND == "later":
            name = order["order"]
            STATES[name] = "pending"

            def work():
                STATES[name] = charge(order, trace)

            threading.Thread(target=work, daemon=True).start()
            self.answer(202, {"id": name})
            return
        if KIND == "zombie":
            if charge(order, trace, 1) != "paid":
                threading.Timer(0.5, charge, (order, trace)).start()
                self.answer(500, {"status": "failed"})
            return
        state = charge(order, trace)
        if KIND == "stale" and state == "unknown":
            self.answer(203, {"status": "an hour ago"})
            return
        self.answer({"paid": 201, "declined": 402, "unknown": 504}[state], {"status": state})

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
