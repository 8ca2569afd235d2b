"""A database that is asked too much says so with a 400."""

from story import Lost, Refused, careful, persist, play, send


def flawed(operation):
    def attempt():
        answer = send(operation, key=operation["input"]["order"])
        if answer.status < 300:
            return answer.document()
        # "It is our own mistake", says the manual of HTTP, and nobody reads the code in the body.
        raise Refused("bad request") if answer.status == 400 else Lost(f"status {answer.status}")

    return persist(attempt)["id"]


play(flawed, careful)
