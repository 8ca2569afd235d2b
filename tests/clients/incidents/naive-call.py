"""One call, and nothing around it."""

import requests

from story import careful, play


def flawed(operation):
    answer = requests.post(
        operation["url"] + "/v1/charges",
        json=operation["input"],
        headers={"Authorization": "Bearer " + operation["api_key"]},
    )
    return answer.json()["id"]


play(flawed, careful)
