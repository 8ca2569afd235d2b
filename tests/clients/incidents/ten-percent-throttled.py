"""A nightly batch: a tenth of its calls is throttled."""

import requests

from story import careful, play, seconds


def flawed(operation):
    answer = requests.post(
        operation["url"] + "/v1/charges",
        json=operation["input"],
        headers={"Authorization": "Bearer " + operation["api_key"], "Idempotency-Key": operation["input"]["order"]},
        timeout=seconds(10),
    )
    # The batch goes on with the next record, and nobody counts the exceptions in its log.
    answer.raise_for_status()


play(flawed, careful)
