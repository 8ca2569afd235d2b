"""Calls hosts that are not the mock, as a program with a hard-wired URL would."""

import json
import sys
import urllib.error
import urllib.request

operation = json.loads(sys.stdin.readline())
words = []
for url in sys.argv[1:]:
    try:
        words.append(str(urllib.request.urlopen(url, timeout=10).status))
    except urllib.error.HTTPError as error:
        words.append(f"{error.code} {error.read().decode()}")
    except OSError as error:
        words.append(str(error))
claim = {"id": operation["id"], "outcome": "failed", "detail": " | ".join(words)}
print(json.dumps(claim), flush=True)
sys.stdin.read()
