"""What the programs of the incidents share: how they are asked, and what is right in each of them.

Every other file here plays one incident of `scenarios/incidents` and takes one word: `flawed` does what the story
tells of, `fixed` what would have helped. Both live as one process and answer each operation with a line.

    brownout run scenarios/incidents/optional-key.yaml --mode stdio --scale 1/10 \\
        -- python3 tests/clients/incidents/optional-key.py flawed

They wait as long as their story says, in seconds; `--scale 1/10` makes these shorter together with the scenario's.
"""

import http.client
import json
import os
import random
import sys
import time
from fractions import Fraction
from urllib.parse import urlsplit

# A user puts the loop beside the client; here it stays where it is shipped.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "harness", "loops"))
from brownout_stdio import Unknown, serve  # noqa: E402

SCALE = float(Fraction(os.environ.get("BROWNOUT_SCALE", "1")))


def seconds(told):
    """The seconds of a story, as long as they last in this run."""
    return told * SCALE


def play(flawed, fixed):
    """Does each operation with the client that was asked for."""
    serve({"flawed": flawed, "fixed": fixed}[sys.argv[1]])


class Refused(Exception):
    """It was not done, and asking again changes nothing."""


class Busy(Exception):
    """It was not done, and may be asked for again after so many seconds."""

    def __init__(self, said, wait=0.0):
        super().__init__(said)
        self.wait = wait


class Lost(Exception):
    """Nobody here knows whether it was done."""


class Answer:
    """A whole answer."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def document(self):
        """The body as an object; an empty one when it is none."""
        try:
            body = json.loads(self.text)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


def send(operation, path="/v1/charges", key=None, timeout=10.0, method="POST"):
    """One request, with the standard library alone; an OSError or HTTPException when there is no answer."""
    base = urlsplit(operation["url"])
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=seconds(timeout))
    headers = {"Authorization": "Bearer " + operation["api_key"], "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = json.dumps(operation["input"]).encode() if method == "POST" else None
    try:
        connection.request(method, base.path.rstrip("/") + path, body=body, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
    finally:
        connection.close()


def ask(operation, **words):
    """One request, judged: what it made, or why not, in the three words that decide what to do next."""
    try:
        return judge(operation["input"], send(operation, **words))
    except (OSError, http.client.HTTPException) as problem:
        raise Lost(repr(problem)) from problem


def judge(asked, answer):
    """Sorts an answer by what it says of the work and not by its status alone."""
    made, said = answer.document(), f"status {answer.status}"
    if 200 <= answer.status < 300:
        if made.get("status") in ("succeeded", "sent") and made.get("order") == asked["order"]:
            return made
        raise Lost(said + " without a receipt for this order")
    error = made.get("error")
    code = error.get("code", "") if isinstance(error, dict) else ""
    if answer.status in (429, 503) or code in ("ProvisionedThroughputExceededException", "ThrottlingException"):
        wait = answer.headers.get("Retry-After", "")
        raise Busy(said, float(wait) if wait.isdigit() else 0.0)
    if answer.status in (408, 409, 425) or answer.status >= 500:
        raise Lost(said)
    raise Refused(said)


def doubling(number):
    """Half a second and as much again by chance after the first attempt, twice as much after each further one."""
    return 0.5 * 2 ** (number - 1) * random.uniform(1, 2)


def persist(attempt, tries=5, pause=doubling):
    """Attempts until it is done, refused, or tried often enough; what may have been done is called unknown."""
    lost = None
    for number in range(1, tries + 1):
        wait = 0.0
        try:
            return attempt()
        except Refused:
            raise
        except Busy as busy:
            last, wait = busy, busy.wait
        except Lost as problem:
            last = lost = problem
        print(f"attempt {number}: {last}")
        if number < tries:
            # Behind a wait that all were told to keep, everybody has one of its own.
            time.sleep(wait + seconds(pause(number)))
    raise Unknown(str(lost)) if lost else last


def careful(operation):
    """Charges an order once: one key for all attempts, made of the order."""
    return persist(lambda: ask(operation, key=operation["input"]["order"]))["id"]
