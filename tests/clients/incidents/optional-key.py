"""The provider takes a key and does not ask for one."""

from story import ask, careful, persist, play


def flawed(operation):
    return persist(lambda: ask(operation))["id"]


play(flawed, careful)
