"""Sends forms with a file by requests and by httpx: `forms.py URL FORMS`; writes what each was answered."""

import hashlib
import json
import sys

import httpx
import requests

url, forms = sys.argv[1], json.loads(sys.argv[2])


def send(stack, post, form):
    content = bytes.fromhex(form["content"])
    files = {"file": (form["name"], content, "image/png")}
    answer = post(
        url + "/v1/images",
        data={"reference": form["reference"]},
        files=files,
        headers={"Authorization": "Bearer sk"},
    )
    said = {"stack": stack, "status": answer.status_code, "answer": answer.json()}
    print(json.dumps(said | {"sha256": hashlib.sha256(content).hexdigest()}))


for name, post in [("requests", requests.post), ("httpx", httpx.post)]:
    for one in forms:
        send(name, post, one)
