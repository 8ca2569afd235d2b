"""What the careful programs around the packages of `openai` and `anthropic` share: both speak the same hints.

It stands beside them, so that each can be run as it is: `python3 tests/clients/openai_careful.py`.
"""

import sys
import time
from email.utils import parsedate_to_datetime

EXIT_UNKNOWN = 75


def asked_wait(response):
    """The seconds that the answer asks for: `retry-after-ms`, or `Retry-After` as seconds or a date."""
    try:
        if "retry-after-ms" in response.headers:
            return float(response.headers["retry-after-ms"]) / 1000
        text = response.headers.get("retry-after", "")
        if text.isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def not_known(problem):
    """Ends the program with the word that nobody knows what became of it."""
    print(f"unknown: {problem}")
    sys.exit(EXIT_UNKNOWN)
