"""Prints its API key in four spellings, and claims with the key in its detail."""

import base64
import json
import os
import sys
import urllib.parse

key = os.environ["BROWNOUT_API_KEY"]
operation = json.loads(sys.stdin.readline())
print("key", key)
print("Authorization: Basic " + base64.b64encode(f"user:{operation['api_key']}".encode()).decode(), file=sys.stderr)
print("".join(f"%{byte:02X}" for byte in key.encode()))
print("".join(f"\\u{byte:04x}" for byte in key.encode()))
print(json.dumps({"id": operation["id"], "outcome": "failed", "detail": f"401 for {key}"}), flush=True)
sys.stdin.read()
