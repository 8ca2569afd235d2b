"""Meets faults with three stacks of Python: http.client, requests and httpx.

Reads one JSON object a line, `{"row": 0, "urls": {"requests": "http://…"}, "timeout_s": 4}`, and writes one a
line for each stack and row, `{"row": 0, "stack": "requests", "said": "201, the charge"}`. What is said holds
classes of errors and no words of theirs, which change from version to version.
"""

import http.client
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import requests

BODY = {"amount": 1999, "currency": "usd", "order": "order-1"}
HEADERS = {"Authorization": "Bearer sk", "Content-Type": "application/json"}
PATH = "/v1/charges"


def root_of(error):
    """The class of the error, and that of the innermost one that it carries."""
    names, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        names.append(type(error).__name__)
        inner = error.__cause__ or error.__context__
        if inner is None:
            nested = [one for one in getattr(error, "args", ()) if isinstance(one, BaseException)]
            inner = nested[0] if nested else getattr(error, "reason", None)
            inner = inner if isinstance(inner, BaseException) else None
        error = inner
    return names[0] if names[0] == names[-1] else f"{names[0]} ({names[-1]})"


def shape(value):
    if isinstance(value, dict):
        is_charge = (
            isinstance(value.get("id"), str)
            and value.get("status") == "succeeded"
            and all(value.get(name) == BODY[name] for name in BODY)
        )
        return "the charge" if is_charge else "another object"
    names = {list: "a list", type(None): "null"}
    return names.get(type(value), "a value")


def read(status, parse):
    try:
        return f"{status}, {shape(parse())}"
    except Exception as error:
        return f"{status}, no JSON: {type(error).__name__}"


def with_http_client(url, timeout):
    parts = urlsplit(url)
    over = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = over[parts.scheme](parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path + PATH, json.dumps(BODY), HEADERS)
        answer = connection.getresponse()
        body = answer.read()
        return read(answer.status, lambda: json.loads(body))
    finally:
        connection.close()


def with_requests(url, timeout):
    answer = requests.post(url + PATH, json=BODY, headers=HEADERS, timeout=timeout)
    return read(answer.status_code, answer.json)


def with_httpx(url, timeout):
    answer = httpx.post(url + PATH, json=BODY, headers=HEADERS, timeout=timeout)
    return read(answer.status_code, answer.json)


STACKS = {"http.client": with_http_client, "requests": with_requests, "httpx": with_httpx}
WRITING = threading.Lock()


def meet(row, stack, url, timeout):
    try:
        said = STACKS[stack](url, timeout)
    except Exception as error:
        said = root_of(error)
    with WRITING:
        print(json.dumps({"row": row, "stack": stack, "said": said}), flush=True)


with ThreadPoolExecutor(max_workers=8) as pool:
    for line in sys.stdin:
        task = json.loads(line)
        for name, url in task["urls"].items():
            pool.submit(meet, task["row"], name, url, task["timeout_s"])
