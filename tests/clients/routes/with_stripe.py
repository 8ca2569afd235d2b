#!/usr/bin/env python3
"""Calls every route of Stripe with the `stripe` package, reads what its users read, and provokes its errors."""

import stripe
from held import of_environment, refused, same

stripe.api_key = of_environment("STRIPE_API_KEY")
stripe.api_base = of_environment("STRIPE_API_BASE")
stripe.max_network_retries = 0


def payments():
    customer = stripe.Customer.create(email="a@example.com", name="A", metadata={"order": "order-1"})
    made = [
        stripe.PaymentIntent.create(
            amount=1000 + n, currency="usd", customer=customer.id, confirm=True, payment_method="pm_card_visa",
            metadata={"order": f"order-{n}"}, idempotency_key=f"intent-{n}",
        )
        for n in range(5)
    ]
    intent = made[0]
    assert isinstance(intent, stripe.PaymentIntent) and intent.id.startswith("pi_"), intent
    same((intent.status, intent.amount, intent.amount_received), ("succeeded", 1000, 1000))
    same((intent.currency, intent.metadata["order"], intent.customer), ("usd", "order-0", customer.id))
    assert intent.client_secret.startswith(intent.id + "_secret_")
    again = stripe.PaymentIntent.create(
        amount=1000, currency="usd", customer=customer.id, confirm=True, payment_method="pm_card_visa",
        metadata={"order": "order-0"}, idempotency_key="intent-0",
    )
    same((again.id, again.last_response.headers["idempotent-replayed"]), (intent.id, "true"))
    same(stripe.PaymentIntent.retrieve(intent.id).to_dict(), intent.to_dict())
    newest_first = [one.id for one in reversed(made)]
    paged(stripe.PaymentIntent, newest_first)
    same([one.id for one in stripe.PaymentIntent.list(customer=customer.id)], newest_first)
    same(stripe.PaymentIntent.list(customer="cus_none").data, [])
    return intent


def paged(kind, ids):
    """Every page as the package asks for it, forward and back, by hand and by itself."""
    page = kind.list(limit=2)
    assert isinstance(page, stripe.ListObject), page
    same(([one.id for one in page.data], page.has_more), (ids[:2], True))
    following = page.next_page()
    same([one.id for one in following.data], ids[2:4])
    same([one.id for one in page.auto_paging_iter()], ids)
    last = kind.list(limit=2, starting_after=ids[-2])
    same(([one.id for one in last.data], last.has_more), (ids[-1:], False))
    back = kind.list(limit=2, ending_before=ids[3])
    same(([one.id for one in back.data], back.has_more), (ids[1:3], True))
    same([one.id for one in back.auto_paging_iter()], [ids[2], ids[1], ids[0]])
    first = kind.list(limit=2, ending_before=ids[1])
    same(([one.id for one in first.data], first.has_more), (ids[:1], False))
    for wrong, code in [
        ({"starting_after": "none"}, "resource_missing"),
        ({"ending_before": "none"}, "resource_missing"),
        ({"starting_after": ids[0], "ending_before": ids[2]}, None),
        ({"limit": 0}, "parameter_invalid_integer"),
        ({"limit": 101}, "parameter_invalid_integer"),
        ({"limit": "some"}, "parameter_invalid_integer"),
        ({"limit": ""}, "parameter_invalid_empty"),
    ]:
        error = refused(stripe.InvalidRequestError, kind.list, **wrong)
        same((error.http_status, error.code, error.param), (400, code, next(iter(wrong))))


def refunds(intent):
    part = stripe.Refund.create(payment_intent=intent.id, amount=400, metadata={"order": "order-0"})
    assert isinstance(part, stripe.Refund) and part.id.startswith("re_"), part
    same((part.amount, part.status, part.payment_intent), (400, "succeeded", intent.id))
    rest = stripe.Refund.create(payment_intent=intent.id)
    same(rest.amount, 600)
    error = refused(stripe.InvalidRequestError, stripe.Refund.create, payment_intent=intent.id)
    same((error.code, error.http_status), ("charge_already_refunded", 400))
    same([one.id for one in stripe.Refund.list(payment_intent=intent.id)], [rest.id, part.id])
    same(stripe.Refund.retrieve(part.id).amount, 400)


def charges():
    made = [
        stripe.Charge.create(amount=2000 + n, currency="eur", source="tok_visa", metadata={"order": f"old-{n}"})
        for n in range(3)
    ]
    charge = made[0]
    assert isinstance(charge, stripe.Charge) and charge.id.startswith("ch_"), charge
    same((charge.amount, charge.captured, charge.paid, charge.refunded), (2000, True, True, False))
    same(stripe.Charge.retrieve(charge.id).status, "succeeded")
    same([one.id for one in stripe.Charge.list(limit=3)], [one.id for one in reversed(made)])
    refund = stripe.Refund.create(charge=charge.id)
    same((refund.charge, refund.amount, refund.currency), (charge.id, 2000, "eur"))
    same([one.id for one in stripe.Refund.list(charge=charge.id)], [refund.id])
    after = stripe.Charge.retrieve(charge.id)
    same((after.refunded, after.amount_refunded), (True, 2000))


def customers():
    made = [stripe.Customer.create(email=f"{n}@example.com", metadata={"order": f"new-{n}"}) for n in range(4)]
    assert isinstance(made[0], stripe.Customer) and made[0].id.startswith("cus_"), made[0]
    same(stripe.Customer.retrieve(made[0].id).email, "0@example.com")
    same([one.id for one in stripe.Customer.list(email="2@example.com")], [made[2].id])
    same([one.email for one in stripe.Customer.list(limit=1).auto_paging_iter()][:2], ["3@example.com", "2@example.com"])


def events(intent):
    of_payments = list(stripe.Event.list(type="payment_intent.succeeded", limit=2).auto_paging_iter())
    same(len(of_payments), 5)
    event = stripe.Event.retrieve(of_payments[-1].id)
    assert isinstance(event, stripe.Event), event
    same((event.type, event.data.object.id), ("payment_intent.succeeded", intent.id))
    assert isinstance(event.data.object, stripe.PaymentIntent), event.data.object


def errors():
    pay = stripe.PaymentIntent.create
    error = refused(stripe.InvalidRequestError, pay, currency="usd")
    same((error.http_status, error.param, error.code), (400, "amount", "parameter_missing"))
    error = refused(stripe.InvalidRequestError, pay, amount=0, currency="usd")
    same((error.http_status, error.param, error.code), (400, "amount", "parameter_invalid_integer"))
    error = refused(stripe.InvalidRequestError, pay, amount=1, currency="")
    same((error.http_status, error.param, error.code), (400, "currency", "parameter_invalid_empty"))
    error = refused(stripe.InvalidRequestError, stripe.PaymentIntent.retrieve, "pi_none")
    same((error.http_status, error.code), (404, "resource_missing"))
    error = refused(stripe.InvalidRequestError, stripe.Payout.list)
    same(error.http_status, 404)
    pay(amount=1, currency="usd", idempotency_key="once", metadata={"order": "once"})
    error = refused(stripe.IdempotencyError, pay, amount=2, currency="usd", idempotency_key="once")
    same(error.http_status, 400)
    assert error.request_id.startswith("req_") and error.user_message, error
    error = refused(stripe.InvalidRequestError, pay, amount=1, currency="usd", idempotency_key="k" * 256)
    same((error.http_status, error.code), (400, "parameter_invalid"))
    error = refused(stripe.InvalidRequestError, stripe.Charge.create)
    same((error.http_status, error.code, error.param), (400, "parameter_missing", "amount"))
    for weather, kind, status, code in [
        ("auth", stripe.AuthenticationError, 401, "api_key_missing"),
        ("forbidden", stripe.PermissionError, 403, "permission_error"),
        ("card", stripe.CardError, 402, "card_declined"),
        ("limit", stripe.RateLimitError, 429, "rate_limit"),
        ("locked", stripe.RateLimitError, 429, "lock_timeout"),
        ("held", stripe.APIError, 409, "idempotency_key_in_use"),
        ("broken", stripe.APIError, 500, "api_error"),
    ]:
        error = refused(
            kind, pay, amount=1, currency="usd", metadata={"weather": weather}, idempotency_key=f"weather-{weather}"
        )
        # Some of its classes have no `code` of their own.
        same((error.http_status, error.json_body["error"]["code"]), (status, code))
        same("another API request" in error.user_message, weather == "locked")
    refused(stripe.APIConnectionError, pay, amount=1, currency="usd", metadata={"weather": "gone"})


paid = payments()
refunds(paid)
customers()
events(paid)
charges()
errors()
