"""A careful client to start from: put your own code in the place of `send`, and keep what is around it.

- One key for all attempts of an operation, so that the provider does the work once.
- Never sooner again than the provider asks for (`Retry-After`), and not after the caller's deadline.
- What may have happened is reported as unknown, never as failed.

brownout starts it once an operation and hands over BROWNOUT_OPERATION; it reads the exit code.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus

METHOD = "POST"
PATH = "/v1/charges"
AUTH_HEADER = "Authorization"
AUTH_SCHEME = "Bearer "
# Empty where the API takes no key: then what may have happened is not tried again.
KEY_HEADER = "Idempotency-Key"
FORM = False
# Headers that are the same in every request.
HEADERS = {}
# What an answer must hold to be a receipt; None stands for anything.
RECEIPT = {"id": None, "status": "succeeded"}

TRIES = 5
TIMEOUT_SECONDS = 5
SUCCEEDED, FAILED, UNKNOWN = 0, 1, 75


def work(operation):
    """Does one operation; returns the exit code that says what became of it, and why."""
    give_up_at = time.monotonic() + operation["deadline_ms"] / 1000 - 1
    may_have_happened = False
    for attempt in range(TRIES):
        end, detail, asked = send(operation)
        if end == "done":
            return SUCCEEDED, detail
        may_have_happened = may_have_happened or end == "ambiguous"
        is_safe = KEY_HEADER or not may_have_happened
        pause = max(asked, random.uniform(0.5, 1.0) * 0.2 * 2**attempt)
        if end == "permanent" or not is_safe or time.monotonic() + pause > give_up_at:
            break
        if attempt + 1 < TRIES:
            time.sleep(pause)
    return (UNKNOWN if may_have_happened else FAILED), detail


def send(operation):
    """One attempt: how it ended, a word about it, and how many seconds to wait at least."""
    headers = {AUTH_HEADER: AUTH_SCHEME + operation["api_key"]}
    headers.update(HEADERS)
    headers["Content-Type"] = "application/x-www-form-urlencoded" if FORM else "application/json"
    if KEY_HEADER:
        # Your own name of the work, such as the order's number: the same for each attempt.
        headers[KEY_HEADER] = operation["id"]
    body = form(operation["input"]) if FORM else json.dumps(operation["input"])
    request = urllib.request.Request(operation["url"] + PATH, body.encode(), headers, method=METHOD)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return judge(json.load(answer))
    except urllib.error.HTTPError as error:
        status, asked = error.code, asked_wait(error.headers.get("Retry-After"))
        if status == 429:
            return "refused", "status 429", asked
        if status in (408, 409, 425) or status >= 500:
            return "ambiguous", f"status {status}", asked
        return "permanent", f"status {status}", 0.0
    except Exception as error:  # a lost connection, a time-out, a body that cannot be read
        return "ambiguous", f"{type(error).__name__}: {error}", 0.0


def judge(body):
    """A success counts only when its body says so."""
    found = body if isinstance(body, dict) else {}
    for field, value in RECEIPT.items():
        if found.get(field) is None or value not in (None, found[field]):
            return "ambiguous", f"the answer is no receipt: `{field}`", 0.0
    return "done", "", 0.0


def asked_wait(text):
    """The seconds that `Retry-After` asks for, as a number or as a date; 0 when it makes no sense."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def form(value, name=""):
    """`{"a": {"b": 1}}` as `a[b]=1`."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return "&".join(form(one, f"{name}[{key}]" if name else str(key)) for key, one in pairs)
    return f"{quote_plus(name)}={quote_plus(str(value))}"


if __name__ == "__main__":
    code, why = work(json.loads(os.environ["BROWNOUT_OPERATION"]))
    print(why)
    sys.exit(code)
