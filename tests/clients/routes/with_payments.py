#!/usr/bin/env python3
"""Calls every route of the payments API with a plain client, reads what it says, and provokes its errors."""

from held import same
from plain import Api

api = Api("PAYMENTS")


def charges():
    body = {"amount": 1999, "currency": "usd", "order": "order-1"}
    charge = api.json("POST", "/v1/charges", body, wanted=201, key="charge-1")
    assert charge["id"].startswith("ch_") and charge["created"] > 0, charge
    same({**body, "status": "succeeded", "object": "charge"}, {name: charge[name] for name in [*body, "status", "object"]})
    same(api.json("GET", f"/v1/charges/{charge['id']}"), charge)
    same(api.json("GET", "/v1/charges", params={"order": "order-1"})["data"], [charge])
    same(api.json("GET", "/v1/charges", params={"order": "none"})["data"], [])
    refund = api.json("POST", "/v1/refunds", {"charge": charge["id"]}, wanted=201, key="refund-1")
    same((refund["charge"], refund["status"]), (charge["id"], "succeeded"))
    same(api.json("GET", f"/v1/charges/{charge['id']}")["status"], "refunded")
    api.refused(422, "already_refunded", "POST", "/v1/refunds", {"charge": charge["id"]}, key="refund-2")
    api.refused(404, "not_found", "POST", "/v1/refunds", {"charge": "ch_none"}, key="refund-3")
    api.refused(404, "not_found", "GET", "/v1/charges/ch_none")


def authorizations():
    body = {"amount": 500, "currency": "eur", "order": "order-2"}
    made = [api.json("POST", "/v1/authorizations", body, wanted=201, key=f"auth-{n}") for n in range(2)]
    same([one["status"] for one in made], ["authorized"] * 2)
    captured = api.json("POST", f"/v1/authorizations/{made[0]['id']}/capture", key="capture-1")
    same((captured["id"], captured["status"], captured["amount"]), (made[0]["id"], "captured", 500))
    voided = api.json("POST", f"/v1/authorizations/{made[1]['id']}/void", key="void-1")
    same(voided["status"], "voided")
    for nth, what in [(0, "void"), (1, "capture")]:
        api.refused(422, "not_authorized", "POST", f"/v1/authorizations/{made[nth]['id']}/{what}", key=f"late-{nth}")


def others():
    told = api.json("POST", "/v1/notifications", {"order": "order-1", "message": "paid"}, wanted=201, key="tell-1")
    same((told["status"], told["order"], told["message"]), ("sent", "order-1", "paid"))
    for status in ("paid", "shipped"):
        order = api.json("PUT", "/v1/orders", {"order": "order-1", "status": status})
        same((order["id"], order["status"]), ("order-1", status))
    limits = api.json("GET", "/v1/limits")
    same(limits["limit"], 1000)
    assert 0 < limits["remaining"] < 1000 and limits["reset"] >= 0, limits


def errors():
    body = {"amount": 7, "currency": "usd", "order": "order-3"}
    api.errors_of("POST", "/v1/charges", body)
    api.keys_of("/v1/charges", body, {**body, "amount": 8})
    for wrong, field in [({"amount": 0}, "amount"), ({"amount": "7"}, "amount"), ({"currency": None}, "currency")]:
        said = api.refused(400, "invalid_request", "POST", "/v1/charges", {**body, **wrong})
        assert said.startswith(field), said
    api.refused(400, "idempotency_key_too_long", "POST", "/v1/charges", body, key="k" * 300)
    for weather, status, code in [
        ("card", 402, "card_declined"), ("forbidden", 403, "forbidden"), ("large", 413, "too_large"),
        ("media", 415, "unsupported_media"), ("quota", 429, "insufficient_quota"), ("spent", 429, "spend_limit"),
    ]:
        api.refused(status, code, "POST", "/v1/charges", body, key=weather, headers={"x-weather": weather})


charges()
authorizations()
others()
errors()
