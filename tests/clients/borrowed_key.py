#!/usr/bin/env python3
"""Charges for several tenants, and when the key of one is refused, tries that of another.

What goes wrong: a customer of one tenant is charged on another's account, and what was refused for good is tried
again. Runs in stdio mode.
"""

import os
import sys

import careful

# A user puts the loop beside the client; here it stays where it is shipped.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "harness", "loops"))
from brownout_stdio import Unknown, serve  # noqa: E402


def handler(operation):
    outcome, detail = careful.charge(operation)
    if outcome == careful.FAILED:
        borrowed = dict(operation, api_key=os.environ["BROWNOUT_TENANT_KEY_A"])
        outcome, detail = careful.charge(borrowed)
    if outcome == careful.UNKNOWN:
        raise Unknown(detail)
    if outcome == careful.FAILED:
        raise RuntimeError(detail)
    return detail


if __name__ == "__main__":
    serve(handler)
