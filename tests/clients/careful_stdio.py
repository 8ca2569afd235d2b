#!/usr/bin/env python3
"""The careful client as one long-lived process, through the loop that brownout ships for Python."""

import os
import sys

import careful

# A user puts the loop beside the client; here it stays where it is shipped.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "harness", "loops"))
from brownout_stdio import Unknown, serve  # noqa: E402


def handler(operation):
    outcome, detail = careful.charge(operation)
    if outcome == careful.UNKNOWN:
        raise Unknown(detail)
    if outcome == careful.FAILED:
        raise RuntimeError(detail)
    return detail


if __name__ == "__main__":
    serve(handler)
