"""The shop's tests of its till, as they stood before anybody thought of faults."""

import pytest
from shop import checkout


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_checkout_returns_a_charge(number):
    assert checkout(f"order-{number}", 1999).startswith("ch_")


def test_checking_out_twice_charges_once():
    assert checkout("order-9", 500) == checkout("order-9", 500)
