"""The status says 200, and the body `Internal Error`."""

from story import Lost, careful, play, send


def flawed(operation):
    answer = send(operation, key=operation["input"]["order"])
    if answer.status >= 300:
        raise Lost(f"status {answer.status}")
    return answer.text[:40]


play(flawed, careful)
