"""A delivery that was not heard of in time is not one that failed."""

import requests

from story import Lost, Unknown, ask, play, seconds


def flawed(operation):
    answer = requests.post(
        operation["url"] + "/v1/notifications",
        json=operation["input"],
        headers={"Authorization": "Bearer " + operation["api_key"], "Idempotency-Key": operation["input"]["order"]},
        timeout=seconds(10),
    )
    # Whatever this raises, and whatever the one above raises, the shop tells its customer that it failed.
    answer.raise_for_status()


def fixed(operation):
    try:
        return ask(operation, path="/v1/notifications", key=operation["input"]["order"])["id"]
    except Lost as lost:
        raise Unknown(f"ask the partner later: {lost}") from lost


play(flawed, fixed)
