#!/usr/bin/env python3
"""Charges for several tenants, and stops for all of them as soon as one is refused.

What goes wrong: one tenant's revoked key is taken for an outage, and the orders of everybody else are given up.
Runs in stdio mode.
"""

import os
import sys

import careful

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "harness", "loops"))
from brownout_stdio import serve  # noqa: E402

refused = []


def handler(operation):
    if refused:
        raise RuntimeError("the provider is down: " + refused[0])
    outcome, detail = careful.charge(operation)
    if outcome == careful.SUCCEEDED:
        return detail
    refused.append(detail)
    raise RuntimeError(detail)


if __name__ == "__main__":
    serve(handler)
