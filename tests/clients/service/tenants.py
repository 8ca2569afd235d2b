"""A service of several tenants: charges with the key of the tenant that asks.

    tenants.py variables|handed

`variables` finds the key under the tenant's name in its environment, `handed` uses the one in the request.
"""

import http.server
import json
import os
import sys
import urllib.error
import urllib.request

KIND = sys.argv[1]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Service(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        tenant = self.headers["x-tenant"]
        key = os.environ["BROWNOUT_TENANT_KEY_" + tenant.upper()]
        if KIND == "handed":
            key = self.headers["x-api-key"]
        request = urllib.request.Request(
            os.environ["BROWNOUT_URL"] + "/v1/charges",
            data=json.dumps(order).encode(),
            headers={
                "Authorization": "Bearer " + key,
                "Content-Type": "application/json",
                "Idempotency-Key": order["order"],
            },
        )
        try:
            status = 200 if DIRECT.open(request, timeout=10).status == 201 else 502
        except urllib.error.HTTPError:
            status = 402
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service).serve_forever()
