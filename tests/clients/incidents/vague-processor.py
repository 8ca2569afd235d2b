"""The processor takes the key and does not look at it."""

from http.client import HTTPException

from story import Lost, ask, careful, persist, play, send


def charged(order, operation):
    """The charge of an order, if there is one."""
    try:
        listed = send(operation, f"/v1/charges?order={order}", method="GET").document().get("data")
    except (OSError, HTTPException) as problem:
        raise Lost("the list of charges is not to be had") from problem
    if not isinstance(listed, list):
        raise Lost("the list of charges is not to be had")
    return listed[0] if listed else None


def fixed(operation):
    order, is_first = operation["input"]["order"], True

    def attempt():
        nonlocal is_first
        # What may have gone through is looked up, whatever the key promises.
        found = None if is_first else charged(order, operation)
        is_first = False
        return found or ask(operation, key=order)

    return persist(attempt)["id"]


play(careful, fixed)
