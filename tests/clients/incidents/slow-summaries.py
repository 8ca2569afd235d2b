"""The HTTP library repeats what takes too long: a slow summary is bought again and again.

The library is `requests` with the retries of urllib3, which count a time-out like a refused connection.
"""

import uuid

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from story import play, seconds


def summarize(operation, timeout, headers):
    """One call of the library, which tries five times in all, whatever the method."""
    again = Retry(total=4, allowed_methods=None, backoff_factor=seconds(0.5), backoff_max=seconds(8))
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=again))
        answer = session.post(
            operation["url"] + "/v1/charges",
            json=operation["input"],
            headers={"Authorization": "Bearer " + operation["api_key"], **headers},
            timeout=seconds(timeout),
        )
    answer.raise_for_status()
    return answer.json()["id"]


def flawed(operation):
    return summarize(operation, timeout=10, headers={})


def fixed(operation):
    # Longer than nearly every summary takes; and what is repeated all the same is known again by its key.
    return summarize(operation, timeout=30, headers={"Idempotency-Key": str(uuid.uuid4())})


play(flawed, fixed)
