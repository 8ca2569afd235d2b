"""`except: return None`."""

from story import ask, persist, play


def flawed(operation):
    try:
        return ask(operation, key=operation["input"]["order"])["id"]
    except Exception:
        return None


def fixed(operation):
    return persist(lambda: ask(operation, key=operation["input"]["order"]), tries=3)["id"]


play(flawed, fixed)
