"""A shop that authorizes and captures the money for an order, and keeps how far the order is as events tell it.

    orders.py careful|latest

careful never goes back from `captured` to `authorized`; latest keeps whatever came last.
"""

import json
import os
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KIND = sys.argv[1]
RANK = {"authorized": 1, "captured": 2}
KEPT = {}
KEEPING = threading.Lock()


def call(method, path, body, key=None):
    request = urllib.request.Request(
        os.environ["BROWNOUT_URL"] + path,
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"],
            "Content-Type": "application/json",
            **({"Idempotency-Key": key} if key else {}),
        },
        method=method,
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def order(asked):
    name = asked["order"]
    held = call("POST", "/v1/authorizations", asked, name + "-authorize")
    call("POST", f"/v1/authorizations/{held['id']}/capture", {}, name + "-capture")


def hear(event):
    name, status = event["data"]["order"], event["data"]["status"]
    with KEEPING:
        if KIND == "careful" and RANK[status] <= RANK.get(KEPT.get(name), 0):
            return
        call("PUT", "/v1/orders", {"order": name, "status": status})
        KEPT[name] = status


class Shop(BaseHTTPRequestHandler):
    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            hear(body) if self.path == "/hooks" else order(body)
        except OSError:
            self.answer(503)
            return
        self.answer(200 if self.path == "/hooks" else 201)

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
