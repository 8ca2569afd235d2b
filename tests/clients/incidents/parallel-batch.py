"""A page sends all prompts at once, and sends again what it misses."""

import uuid

from story import ask, careful, persist, play


def flawed(operation):
    # Each time the page sends a prompt it draws a key: the second time the provider knows nothing of the first.
    key = str(uuid.uuid4())
    return persist(lambda: ask(operation, key=key))["id"]


# The key stays with the item, however often it is sent.
play(flawed, careful)
