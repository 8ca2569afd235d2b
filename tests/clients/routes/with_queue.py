#!/usr/bin/env python3
"""Calls every route of the queue with a plain client, reads what it says, and provokes its errors."""

import time

from held import same
from plain import Api

api = Api("QUEUE")
# The queue of this scenario hides a message so long, in seconds, and hands it out so often.
HIDDEN, MOST = 0.2, 2


def receive(**words):
    return api.json("POST", "/v1/messages/receive", words)["messages"]


def received_again(message):
    """Waits until the queue hands the message out again."""
    for _ in range(100):
        found = receive(max=1)
        if found:
            same(found[0]["id"], message["id"])
            return found[0]
        time.sleep(HIDDEN / 4)
    raise AssertionError(f"{message} never came back")


def messages():
    sent = [api.json("POST", "/v1/messages", {"body": {"order": f"order-{n}"}}, wanted=201) for n in range(3)]
    same([one["status"] for one in sent], ["queued"] * 3)
    found = receive(max=2)
    same([(one["id"], one["body"], one["receives"]) for one in found],
         [(one["id"], one["body"], 1) for one in sent[:2]])
    last = receive()
    same([one["id"] for one in last], [sent[2]["id"]])
    # All are in somebody's hand now.
    same(receive(max=10), [])
    for message in [found[1], *last]:
        gone = delete(message["id"], message["receipt"])
        same((gone["id"], gone["deleted"]), (message["id"], True))
    return found[0]


def delete(message, receipt, wanted=200):
    return api.json("DELETE", f"/v1/messages/{message}", wanted=wanted, params={"receipt": receipt})


def dead_letters(message):
    """A message that nobody deletes comes back, and is parked in the end."""
    again = received_again(message)
    same(again["receives"], MOST)
    assert again["receipt"] != message["receipt"], again
    same(delete(message["id"], message["receipt"], wanted=410)["error"]["code"], "stale_receipt")
    for _ in range(100):
        same(receive(max=1), [])
        parked = api.json("GET", "/v1/dead-letters")["messages"]
        if parked:
            break
        time.sleep(HIDDEN / 4)
    same([(one["id"], one["body"]) for one in parked], [(message["id"], message["body"])])


def work():
    done = api.json("POST", "/v1/work", {"order": "order-1", "amount": 5}, wanted=201, key="work-1")
    same((done["status"], done["order"], done["amount"]), ("done", "order-1", 5))
    same(api.json("GET", "/v1/work", params={"order": "order-1"})["data"], [done])
    same(api.json("GET", "/v1/work", params={"order": "none"})["data"], [])


def errors():
    body = {"order": "order-2", "amount": 7}
    api.errors_of("POST", "/v1/work", body)
    api.keys_of("/v1/work", body, {**body, "amount": 8})
    for path, wrong, field in [
        ("/v1/work", {"amount": 0}, "amount"), ("/v1/messages", {}, "body"), ("/v1/messages/receive", {"max": 11}, "max"),
    ]:
        said = api.refused(400, "invalid_request", "POST", path, wrong)
        assert said.startswith(field), said


dead_letters(messages())
work()
errors()
