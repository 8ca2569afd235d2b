"""Waits of 2^n seconds and up to one more by chance: the pacing is right, and the rest is not."""

import random
import time

from story import ask, persist, play, seconds


def pause(number):
    return 2 ** (number - 1) + random.uniform(0, 1)


def flawed(operation):
    """As its author wrote it: for calls that create nothing, and without a look at what went wrong."""
    for number in range(1, 6):
        try:
            return ask(operation)["id"]
        except Exception as problem:
            print(f"attempt {number}: {problem}")
            if number == 5:
                raise
        time.sleep(seconds(pause(number)))


def fixed(operation):
    return persist(lambda: ask(operation, key=operation["input"]["order"]), pause=pause)["id"]


play(flawed, fixed)
