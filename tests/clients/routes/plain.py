"""A plain client of an API without an SDK: `httpx` with the address and the key that brownout gave."""

import httpx
from held import of_environment, same


class Api:
    """The API whose variables begin with this name."""

    def __init__(self, name):
        key = of_environment(f"{name}_API_KEY")
        self.http = httpx.Client(base_url=of_environment(f"{name}_URL"), headers={"Authorization": f"Bearer {key}"})

    def ask(self, method, path, wanted=200, key=None, headers=None, **rest):
        """The answer, which must have this status."""
        headers = {**({"Idempotency-Key": key} if key else {}), **(headers or {})}
        answer = self.http.request(method, path, headers=headers, **rest)
        assert answer.status_code == wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def json(self, method, path, body=None, wanted=200, **rest):
        """The same for JSON both ways."""
        return self.ask(method, path, wanted, json=body, **rest).json()

    def refused(self, status, code, method, path, body=None, **rest):
        """An error in the words of the API."""
        answer = self.ask(method, path, status, json=body, **rest)
        same(answer.headers["content-type"], "application/json")
        error = answer.json()["error"]
        same(error["code"], code)
        assert error["message"], error
        return error["message"]

    def errors_of(self, method, path, body):
        """The errors that all these APIs have, each as the weather or the request brings it."""
        stranger = {"Authorization": "Basic nobody"}
        self.refused(401, "unauthorized", method, path, body, headers=stranger)
        self.refused(404, "unknown_route", "GET", "/v1/nowhere")
        broken = self.ask(method, path, 400, content=b"{", headers={"Content-Type": "application/json"})
        same(broken.json()["error"]["code"], "invalid_request")
        limited = self.ask(method, path, 429, json=body, headers={"x-weather": "limit"})
        same(limited.json()["error"]["code"], "rate_limit_exceeded")
        assert int(limited.headers["retry-after"]) >= 1, limited.headers
        for weather, status, code in [
            ("auth", 401, "unauthorized"), ("busy", 409, "idempotency_key_in_progress"),
            ("broken", 500, "server_error"), ("down", 503, "unavailable"),
        ]:
            self.refused(status, code, method, path, body, key="of-the-weather", headers={"x-weather": weather})

    def keys_of(self, path, body, other):
        """What a key says the second time, and with another body."""
        first = self.ask("POST", path, 201, key="key-1", json=body)
        again = self.ask("POST", path, 201, key="key-1", json=body)
        same((again.json(), again.headers["idempotent-replayed"]), (first.json(), "true"))
        self.refused(422, "idempotency_key_reused", "POST", path, other, key="key-1")
