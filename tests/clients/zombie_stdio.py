#!/usr/bin/env python3
"""Charges with retries in a thread of its own, and tells its caller `failed` when that takes too long.

What goes wrong: the time-out ends the waiting and not the work. The caller believes that it is over, and
the retry that was already planned charges the customer afterwards.
"""

import os
import sys
import threading
import time

import careful

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "harness", "loops"))
from brownout_stdio import serve  # noqa: E402

PATIENCE_SECONDS = 0.3
PAUSE_SECONDS = 1.0
TRIES = 4


def charge_with_retries(operation, result):
    for _ in range(TRIES):
        attempt = careful.send(operation, careful.ATTEMPT_TIMEOUT_SECONDS)
        if attempt.end in (careful.DONE, careful.PERMANENT):
            result.append(attempt)
            return
        time.sleep(max(PAUSE_SECONDS, attempt.wait_seconds))


def handler(operation):
    result = []
    worker = threading.Thread(target=charge_with_retries, args=(operation, result), daemon=False)
    worker.start()
    worker.join(PATIENCE_SECONDS)
    if not result:
        raise TimeoutError("the payment took too long")
    if result[0].end == careful.PERMANENT:
        raise RuntimeError(result[0].detail)
    return result[0].detail


if __name__ == "__main__":
    serve(handler)
