"""A pytest fixture for brownout: one scenario a test, and the verdict as the assertion.

Put this file beside your tests, write `from brownout_pytest import *` into conftest.py, and then:

    def test_a_lost_answer_charges_nobody_twice(brownout):
        mock = brownout("scenarios/payments/lost-response.yaml")
        pay(mock.url, mock.api_key, order="order-1")      # your code, unchanged
        mock.claim("order-1", "succeeded")                # what your code told its caller

The test fails, with the whole story, unless the run passes. `brownout(scenario, seed=7)` chooses the seed,
`mock.env` holds the variables that point an SDK at the mock, and `mock.verdict()` gives the document and
leaves the judgement to you. The program is `brownout` on PATH, or what BROWNOUT_BIN names.
Python 3.8 and pytest 8 or later; nothing else is needed.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

__all__ = ["brownout", "brownout_control", "pytest_runtest_call"]


class Mock:
    """The provider of one scenario. `url`, `api_key`, `env`, `seed` and `trace` say how it is reached."""

    def __init__(self, call, scenario, seed):
        text = scenario if "\n" in str(scenario) else Path(scenario).read_text(encoding="utf-8")
        query = "" if seed is None else f"?seed={seed}"
        self._call, self._document = call, None
        self.__dict__.update(json.loads(call("PUT", "/v1/scenario" + query, text)))

    def claim(self, operation, outcome, detail=""):
        """Says what your code told its caller: `succeeded`, `failed` or `unknown`."""
        body = json.dumps({"operation": operation, "outcome": outcome, "detail": detail})
        return json.loads(self._call("POST", "/v1/outcomes", body))["taken"]

    def verdict(self):
        """Ends the run; the document of `brownout run --format json`. Asked once, it is yours to judge."""
        if self._document is None:
            self._document = json.loads(self._call("POST", "/v1/verdict"))
        return self._document


@pytest.fixture(scope="session")
def brownout_control(tmp_path_factory):
    """One `brownout serve` for all tests of the session (of a worker, with pytest-xdist)."""
    command = [os.environ.get("BROWNOUT_BIN", "brownout"), "serve", "--out", str(tmp_path_factory.mktemp("brownout"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        control = json.loads(server.stdout.readline() or "{}").get("control")
        if control is None:
            pytest.fail(f"{' '.join(command)} did not start; its reason stands above", pytrace=False)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def call(method, path, body=""):
            headers = {"Authorization": "Bearer " + control["token"], "Content-Type": "application/yaml"}
            request = urllib.request.Request(control["url"] + path, body.encode() or None, headers, method=method)
            try:
                return direct.open(request, timeout=60).read().decode()
            except urllib.error.HTTPError as refused:
                why = json.loads(refused.read())["error"]
            pytest.fail(why, pytrace=False)

        yield call
        server.terminate()
        server.stdout.read()


@pytest.fixture
def brownout(brownout_control, request):
    """Loads a scenario (a file, or its text); at the end of the test its run must have passed."""

    def load(scenario, seed=None):
        request.node.brownout = mock = Mock(brownout_control, scenario, seed)
        return mock

    return load


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    mock = getattr(item, "brownout", None)
    if mock is not None and mock._document is None and mock.verdict()["verdict"] != "passed":
        pytest.fail(mock._call("GET", "/v1/verdict?format=human"), pytrace=False)
    return result
