"""A shop's tests against brownout: some of them must fail, and the test that runs these knows which."""

import json
import time
import urllib.request

SCENARIOS = "scenarios/payments"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def pay(mock, order, key=None):
    headers = {"Authorization": "Bearer " + mock.api_key, "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    body = json.dumps({"amount": 1999, "currency": "usd", "order": order}).encode()
    for attempt in range(4):
        try:
            with DIRECT.open(urllib.request.Request(mock.url + "/v1/charges", body, headers), timeout=5) as answer:
                return json.load(answer)["status"]
        except OSError:
            time.sleep(0.1)
    return "unknown"


def pay_for_all(mock, keyed):
    for n in range(5):
        order = f"order-{n}"
        assert mock.claim(order, pay(mock, order, f"key-{n}" if keyed else None))


def test_with_a_key_it_passes(brownout):
    pay_for_all(brownout(f"{SCENARIOS}/lost-response.yaml", seed=3), keyed=True)


def test_without_a_key_it_fails(brownout):
    pay_for_all(brownout(f"{SCENARIOS}/lost-response.yaml", seed=3), keyed=False)


def test_the_run_before_is_judged_when_the_next_is_loaded(brownout):
    pay_for_all(brownout("payments-lost-response", seed=3), keyed=False)
    pay_for_all(brownout("payments-lost-response", seed=3), keyed=True)


def test_an_api_of_ones_own_comes_along(brownout):
    with open("mock-provider/apis/payments.yaml", encoding="utf-8") as file:
        own = {"mine": file.read()}
    scenario = {
        "version": 1,
        "name": "mine",
        "provider": {"api": "mine"},
        "workload": {"mode": "suite"},
        "expect": ["no_double_charges"],
    }
    mock = brownout(scenario, apis=own)
    pay_for_all(mock, keyed=True)
    assert mock.verdict()["scenarios"][0]["name"] == "mine"


def test_a_verdict_that_is_asked_for_is_the_tests_own(brownout):
    mock = brownout(f"{SCENARIOS}/lost-response.yaml", seed=3)
    pay_for_all(mock, keyed=False)
    document = mock.verdict()
    failed = [one["name"] for one in document["scenarios"][0]["invariants"] if one["verdict"] == "failed"]
    assert "no_double_charges" in failed


def test_a_wrong_scenario_is_told_where_it_is_wrong(brownout):
    brownout("version: 1\nnmae: x\n")


def test_without_brownout_nothing_is_asked():
    pass
