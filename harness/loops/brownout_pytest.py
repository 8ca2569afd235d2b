"""A pytest fixture for brownout: one scenario a test, and the verdict as the assertion.

Put this file beside your tests, write `from brownout_pytest import *` into conftest.py, and then:

    def test_a_lost_answer_charges_nobody_twice(brownout):
        mock = brownout("tests/lost-answer.yaml")
        pay(mock.url, mock.api_key, order="order-1")      # your code, unchanged
        mock.claim("order-1", "succeeded")                # what your code told its caller

The test fails, with the whole story, unless the run passes. A scenario is a file, its text, or one that comes
with brownout (`brownout list scenarios`); `brownout(scenario, seed=7, apis={"mine": text})` chooses the seed and
brings APIs of your own. An operation is named as it is on the wire, by the order or what else the API goes by.
`mock.env` holds the variables that point an SDK at the mock, and `mock.verdict()` gives the document and leaves
the judgement to you. The program is `brownout` on PATH, or what BROWNOUT_BIN names; it ends with the tests.
Python 3.8 and pytest 8 or later; nothing else is needed.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest

__all__ = ["brownout", "brownout_control", "pytest_runtest_call"]


class Mock:
    """The provider of one run. `url`, `api_key`, `env`, `seed` and `trace` say how it is reached."""

    def __init__(self, call, scenario, seed, apis):
        if not isinstance(scenario, dict) and os.path.isfile(scenario):
            with open(scenario, encoding="utf-8") as file:
                scenario = file.read()
        sent = {"scenario": scenario if isinstance(scenario, dict) else str(scenario), "seed": seed, "apis": apis or {}}
        self._call, self._document = call, None
        self.__dict__.update(json.loads(call("PUT", "/v1/scenario", sent)))

    def claim(self, operation, outcome, detail=""):
        """Says what your code told its caller: `succeeded`, `failed` or `unknown`."""
        said = {"operation": operation, "outcome": outcome, "detail": detail}
        return json.loads(self._call("POST", f"/v1/outcomes?run={self.run}", said))["taken"]

    def verdict(self):
        """Ends the run; the document of `brownout run --format json`. Asked once, it is yours to judge."""
        if self._document is None:
            self._document = json.loads(self._call("POST", f"/v1/verdict?run={self.run}"))
        return self._document

    def _hold(self):
        if self._document is None and self.verdict()["verdict"] != "passed":
            pytest.fail(self._call("GET", f"/v1/verdict?run={self.run}&format=human"), pytrace=False)


@pytest.fixture(scope="session")
def brownout_control(tmp_path_factory):
    """One `brownout serve` for all tests of the session (of a worker, with pytest-xdist)."""
    command = [os.environ.get("BROWNOUT_BIN", "brownout"), "serve", "--until-stdin-closes"]
    command += ["--out", str(tmp_path_factory.mktemp("brownout"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        control = json.loads(server.stdout.readline() or "{}").get("control")
        if control is None:
            pytest.fail(f"{' '.join(command)} did not start", pytrace=False)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def call(method, path, body=None):
            headers = {"Authorization": "Bearer " + control["token"], "Content-Type": "application/json"}
            data = json.dumps(body).encode() if body is not None else b""
            try:
                request = urllib.request.Request(control["url"] + path, data, headers, method=method)
                with direct.open(request, timeout=60) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as refused:
                why = json.loads(refused.read())["error"]
            except OSError as gone:
                why = f"brownout serve does not answer ({gone}); exit code {server.poll()}"
            pytest.fail(why, pytrace=False)

        yield call
        server.stdin.close()
        server.stdout.read()


@pytest.fixture
def brownout(brownout_control, request):
    """Loads a scenario; at the end of the test, or when the next is loaded, its run must have passed."""

    def load(scenario, seed=None, apis=None):
        before = getattr(request.node, "brownout", None)
        if before is not None:
            before._hold()
        request.node.brownout = mock = Mock(brownout_control, scenario, seed, apis)
        return mock

    return load


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if getattr(item, "brownout", None) is not None:
        item.brownout._hold()
    return result
