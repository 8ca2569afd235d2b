"""What the programs share that call every route of an API: a mistake that must be told, by its class."""

import os


def refused(kind, call, *words, **named):
    """Calls, and gives back the error, which must be of exactly this class: a wider one is caught by nobody."""
    try:
        answer = call(*words, **named)
    except kind as error:
        assert type(error) is kind, f"{type(error).__name__} and not {kind.__name__}: {error}"
        return error
    raise AssertionError(f"{kind.__name__} was to be raised, and there was an answer: {answer}")


def same(found, wanted):
    """Says both where they differ."""
    assert found == wanted, f"{found!r} and not {wanted!r}"


def of_environment(name):
    """A variable that brownout has set."""
    return os.environ[name]
