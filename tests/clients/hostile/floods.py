"""Floods both outputs from two threads, and makes its claim in the middle of it."""

import json
import os
import sys
import threading

MEGABYTES = 24
LINE = b"x" * 127 + b"\n"


def flood(stream):
    for _ in range(MEGABYTES * 8):
        os.write(stream, LINE * 1024)


operation = json.loads(sys.stdin.readline())
threads = [threading.Thread(target=flood, args=(stream,)) for stream in (1, 2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
claim = {"id": operation["id"], "outcome": "succeeded", "detail": "after the flood"}
os.write(1, json.dumps(claim).encode() + b"\n")
sys.stdin.read()
