"""Says all sorts of things that are no claims, and a few that are."""

import json
import sys

first = json.loads(sys.stdin.readline())
second = json.loads(sys.stdin.readline())


def claim(**fields):
    print(json.dumps(fields), flush=True)


sys.stdout.buffer.write(b"\xff\xfe caf\xc3\xa9 \x00\n")
sys.stdout.buffer.flush()
print("{", '{"id": "op-0001"}', "[1, 2]", "null", sep="\n")
claim(id="op-9999", outcome="succeeded")
claim(id=first["id"], outcome="sort of")
claim(id=first["id"], submit=7, outcome="succeeded")
claim(id=first["id"], outcome="unknown", detail="timed out")
claim(id=first["id"], outcome="failed", detail="looked it up")
claim(id=first["id"], outcome="succeeded", detail="changed my mind")
claim(id=second["id"], outcome="succeeded", detail={"odd": True})
claim(id=second["id"], outcome="succeeded")
sys.stdin.read()
