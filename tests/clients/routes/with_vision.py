#!/usr/bin/env python3
"""Calls every route of the vision API with a plain client, reads what it says, and provokes its errors."""

import hashlib
import time

from held import same
from plain import Api

api = Api("VISION")
PICTURE = b"A picture of many bytes. " * 400


def pictures():
    body = {"image": "a.png", "reference": "ref-1"}
    seen = api.json("POST", "/v1/classifications", body, wanted=201, key="classify-1")
    same((seen["image"], seen["status"], seen["label"]), ("a.png", "succeeded", "cat"))
    assert seen["confidence"] > 0.5, seen
    batch = {"images": ["a.png", "b.png"], "reference": "ref-2"}
    results = api.json("POST", "/v1/batches", batch, wanted=207, key="batch-1")["results"]
    same([(one["image"], one["status"]) for one in results], [("a.png", 201), ("b.png", 201)])
    labels = api.json("GET", "/v1/labels", params={"reference": "ref-2"})["data"]
    same([one["id"] for one in labels], [one["id"] for one in results])
    half = api.json("POST", "/v1/batches", {**batch, "reference": "ref-3"}, wanted=207, headers={"x-weather": "half"})
    same(sorted(one["status"] for one in half["results"]), [201, 503])


def uploads():
    form = {"files": {"file": ("a.png", PICTURE, "image/png")}, "data": {"reference": "ref-4"}}
    image = api.ask("POST", "/v1/images", 201, key="image-1", **form).json()
    checksum = hashlib.sha256(PICTURE).hexdigest()
    same((image["name"], image["size"], image["sha256"], image["reference"]), ("a.png", len(PICTURE), checksum, "ref-4"))
    begun = api.ask("POST", "/v1/uploads", 201, key="upload-1", json={"name": "a.png"})
    place, size, half = begun.headers["location"], len(PICTURE), 5000
    same((begun.json()["status"], place), ("open", f"/v1/uploads/{begun.json()['id']}"))
    span = lambda text: {"Content-Range": f"bytes {text}/{size}"}
    more = api.ask("PUT", place, 308, content=PICTURE[:half], headers=span(f"0-{half - 1}"))
    same(more.headers["range"], f"bytes=0-{half - 1}")
    same(api.ask("PUT", place, 308, content=b"", headers=span("*")).headers["range"], f"bytes=0-{half - 1}")
    same(api.json("GET", place)["status"], "open")
    whole = api.ask("PUT", place, content=PICTURE[half:], headers=span(f"{half}-{size - 1}")).json()
    same((whole["status"], whole["size"], whole["sha256"]), ("stored", size, checksum))
    same(api.json("GET", place), whole)
    api.refused(404, "not_found", "GET", "/v1/uploads/upl_none")


def jobs():
    body = {"image": "a.png", "task": "caption", "reference": "ref-5"}
    begun = api.ask("POST", "/v1/jobs", 202, key="job-1", json=body)
    job = begun.json()
    place = f"/v1/jobs/{job['id']}"
    same((job["status"], begun.headers["location"], begun.headers["retry-after"]), ("pending", place, "1"))
    same(api.json("GET", "/v1/jobs", params={"reference": "ref-5"})["data"][0]["id"], job["id"])
    for _ in range(20):
        seen = api.ask("GET", place)
        if seen.json()["status"] == "succeeded":
            break
        time.sleep(float(seen.headers["retry-after"]))
    same((seen.json()["status"], seen.json()["result"]["text"]), ("succeeded", "A picture named a.png."))
    assert "retry-after" not in seen.headers, seen.headers
    api.refused(409, "not_cancelable", "POST", f"{place}/cancel", key="cancel-1")
    other = api.json("POST", "/v1/jobs", {**body, "reference": "ref-6"}, wanted=202, key="job-2")
    stopped = api.json("POST", f"/v1/jobs/{other['id']}/cancel", key="cancel-2")
    same((stopped["id"], stopped["status"]), (other["id"], "canceled"))
    api.refused(404, "not_found", "GET", "/v1/jobs/job_none")
    said = api.refused(400, "invalid_request", "POST", "/v1/jobs", {**body, "task": "sing"})
    assert said.startswith("task"), said


def errors():
    body = {"image": "b.png", "reference": "ref-7"}
    api.errors_of("POST", "/v1/classifications", body)
    api.keys_of("/v1/classifications", body, {**body, "image": "c.png"})
    for path, field in [("/v1/classifications", "image"), ("/v1/batches", "images"), ("/v1/uploads", "name")]:
        said = api.refused(400, "invalid_request", "POST", path, {})
        assert said.startswith(field), said
    api.refused(400, "idempotency_key_too_long", "POST", "/v1/classifications", body, key="k" * 300)
    for weather, status, code in [
        ("forbidden", 403, "forbidden"), ("large", 413, "too_large"), ("media", 415, "unsupported_media"),
        ("quota", 429, "insufficient_quota"), ("spent", 429, "spend_limit"),
    ]:
        api.refused(status, code, "POST", "/v1/classifications", body, key=weather, headers={"x-weather": weather})
    begun = api.json("POST", "/v1/uploads", {"name": "b.png"}, wanted=201)
    late = {"Content-Range": "bytes 0-0/2", "x-weather": "expired"}
    same(api.ask("PUT", f"/v1/uploads/{begun['id']}", 403, content=b"b", headers=late).json()["error"]["code"], "session_expired")


pictures()
uploads()
jobs()
errors()
