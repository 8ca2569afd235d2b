#!/usr/bin/env python3
"""Has pictures looked at by an API that accepts jobs with 202 and wants to be asked how far they are.

`careful` begins each job under one key, waits as long as it is told to, and reports what it was told. Each other
kind has one flaw: `eager` takes the acceptance for the result, `hammering` asks without a pause, `impatient`
begins a job anew when it takes long, `patient` waits long for an answer, `stubborn` repeats what was refused for
good, `hasty` waits for nobody, and `timid` gives up at the first 503. Runs in stdio mode, a thread for each line.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2
PATIENT_SECONDS = 8
PAUSE_SECONDS = 0.2


def ask(method, base, path, key, body=None, idempotency_key=None, timeout=TIMEOUT_SECONDS):
    """Status, body and the wait that is asked for; None when no whole answer came."""
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    try:
        connection.request(method, place.path.rstrip("/") + path, body=body, headers=headers)
        answer = connection.getresponse()
        wait = float(answer.getheader("Retry-After") or PAUSE_SECONDS)
        return answer.status, json.loads(answer.read()), wait
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Work:
    def __init__(self, operation, kind):
        self.operation, self.kind = operation, kind
        self.base, self.key = operation["url"], operation["api_key"]
        self.timeout = PATIENT_SECONDS if kind == "patient" else TIMEOUT_SECONDS
        self.ends = time.monotonic() + operation["deadline_ms"] / 1000 * 0.75

    def is_over(self):
        return time.monotonic() >= self.ends

    def begin(self, idempotency_key):
        """The id of the job and the wait before the first look, or the outcome."""
        body = json.dumps(self.operation["input"]).encode()
        while not self.is_over():
            answer = ask(
                "POST", self.base, "/v1/jobs", self.key, body, idempotency_key, self.timeout
            )
            if answer and answer[0] == 202:
                return (answer[1]["id"], answer[2]), None
            is_refused = answer and 400 <= answer[0] < 500 and answer[0] not in (408, 409, 425, 429)
            if is_refused and self.kind != "stubborn":
                return None, "failed"
            if self.kind == "timid" and answer and answer[0] == 503:
                return None, "failed"
            time.sleep(answer[2] if answer and self.kind != "hasty" else PAUSE_SECONDS)
        return None, "unknown"

    def wait_for(self, job, wait):
        looks = 0
        while not self.is_over():
            if self.kind == "impatient" and looks >= 3:
                return None
            if self.kind != "hammering":
                time.sleep(wait if self.kind != "impatient" else 0.25)
            answer = ask("GET", self.base, "/v1/jobs/" + job, self.key, timeout=self.timeout)
            looks += 1
            wait = answer[2] if answer else PAUSE_SECONDS
            if answer and answer[0] == 404:
                return "unknown"
            if answer and answer[0] == 200:
                if answer[1]["status"] == "succeeded":
                    return "succeeded"
                if answer[1]["status"] in ("failed", "canceled"):
                    return "failed"
            if self.kind == "hammering" and looks >= 50:
                time.sleep(0.5)
        return "unknown"

    def outcome(self):
        for nth in range(100):
            key = self.operation["id"] if self.kind != "impatient" else f"{self.operation['id']}-{nth}"
            begun, outcome = self.begin(key)
            if outcome:
                return outcome
            if self.kind == "eager":
                return "succeeded"
            outcome = self.wait_for(*begun)
            if outcome:
                return outcome
        return "unknown"


def serve(operation, kind, lock):
    outcome = Work(operation, kind).outcome()
    answer = {"id": operation["id"], "submit": operation["submit"], "outcome": outcome}
    with lock:
        print(json.dumps(answer), flush=True)


def main():
    lock, threads = threading.Lock(), []
    for line in sys.stdin:
        thread = threading.Thread(target=serve, args=(json.loads(line), sys.argv[1], lock))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
