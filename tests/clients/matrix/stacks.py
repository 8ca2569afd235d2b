"""Meets faults with three stacks of Python: http.client, requests and httpx.

Reads one JSON object a line, `{"row": 0, "urls": {"requests": "http://…"}, "timeout_s": 4}`, and writes one a
line for each stack and row, `{"row": 0, "stack": "requests", "said": "201, the charge"}`. What is said holds
classes of errors and no words of theirs, which change from version to version. With `steps` it sends those
requests one after the other, over one connection where the stack keeps it, and shows of each answer what the
step asks for.
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


class HttpClient:
    """Sends over one connection, and over a new one behind an error or a `Connection: close`."""

    def __init__(self, url, timeout):
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self.prefix = parts.path

    def send(self, method, path, headers, body):
        try:
            self.connection.request(method, self.prefix + path, body, headers)
            answer = self.connection.getresponse()
        except Exception:
            self.connection.close()
            raise
        return answer.status, answer.headers, self.read(answer)

    def read(self, answer):
        try:
            return answer.read()
        except Exception as error:
            self.connection.close()
            return error


class Session:
    """What a session of requests and a client of httpx have in common."""

    def __init__(self, url, timeout, session):
        self.url, self.timeout, self.session = url, timeout, session


class Requests(Session):
    def send(self, method, path, headers, body):
        answer = self.session.request(
            method, self.url + path, headers=headers, data=body, timeout=self.timeout, stream=True
        )
        try:
            return answer.status_code, answer.headers, answer.content
        except Exception as error:
            return answer.status_code, answer.headers, error


class Httpx(Session):
    def send(self, method, path, headers, body):
        sent = self.session.stream(
            method, self.url + path, headers=headers, content=body, timeout=self.timeout
        )
        with sent as answer:
            try:
                return answer.status_code, answer.headers, answer.read()
            except Exception as error:
                return answer.status_code, answer.headers, error


SESSIONS = {
    "http.client": HttpClient,
    "requests": lambda url, timeout: Requests(url, timeout, requests.Session()),
    "httpx": lambda url, timeout: Httpx(url, timeout, httpx.Client()),
}


def at(value, pointer):
    for step in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def in_words(value):
    if isinstance(value, list):
        return f"{len(value)} in a list"
    return value if isinstance(value, str) or value is None else json.dumps(value)


def events(body):
    lines = body.decode(errors="replace").splitlines()
    data = [line[6:] for line in lines if line.startswith("data: ")]
    pieces = []
    for text in data:
        try:
            pieces.append(at(json.loads(text), "/choices/0/delta/content"))
        except ValueError:
            pass
    said = "|".join(piece for piece in pieces if isinstance(piece, str))
    end = "whole" if data and data[-1] == "[DONE]" else "without its end"
    return f"{len(data)} events, `{said}`, {end}"


def shown(step, status, headers, body, memory):
    if isinstance(body, Exception):
        return f"{status}, {root_of(body)}"
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    known, first = at(value, "/id"), memory.get("id")
    parts = [str(status)]
    for show in step["show"]:
        if show == "same id":
            part = None
            if known and first:
                part = "the same id" if known == first else "another id"
        elif show == "events":
            part = events(body)
        elif show.startswith("statuses "):
            items = at(value, show[9:])
            found = sorted(str(item.get("status", "silent")) for item in items or [])
            part = " ".join(found) if found else None
        elif show.startswith("/"):
            part = in_words(at(value, show))
        else:
            part = f"{show} {headers[show]}" if headers.get(show) is not None else None
        if part is not None:
            parts.append(part)
    memory.setdefault("id", known)
    if memory["id"] is None:
        del memory["id"]
    return ", ".join(parts)


def in_steps(stack, url, timeout, steps):
    session, memory, said = SESSIONS[stack](url, timeout), {}, []
    for step in steps:
        path = step["path"].replace("{id}", memory.get("id", "none"))
        headers = {"Authorization": "Bearer sk"}
        body = step["body"].encode() or None
        if body:
            headers["Content-Type"] = "application/json"
        headers.update(step["headers"])
        try:
            answer = session.send(step["method"], path, headers, body)
            said.append(shown(step, *answer, memory))
        except Exception as error:
            said.append(root_of(error))
    return "; ".join(said)


STACKS = {"http.client": with_http_client, "requests": with_requests, "httpx": with_httpx}
WRITING = threading.Lock()


def meet(row, stack, url, timeout, steps):
    try:
        said = in_steps(stack, url, timeout, steps) if steps else STACKS[stack](url, timeout)
    except Exception as error:
        said = root_of(error)
    with WRITING:
        print(json.dumps({"row": row, "stack": stack, "said": said}), flush=True)


with ThreadPoolExecutor(max_workers=8) as pool:
    for line in sys.stdin:
        task = json.loads(line)
        for name, url in task["urls"].items():
            pool.submit(meet, task["row"], name, url, task["timeout_s"], task["steps"])
