"""Three retries one second apart, in step with everybody else's."""

from story import ask, careful, persist, play


def flawed(operation):
    return persist(lambda: ask(operation, key=operation["input"]["order"]), tries=4, pause=lambda _: 1.0)["id"]


play(flawed, careful)
