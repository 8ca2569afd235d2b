"""The stdio loop of brownout for Python: hands operations to your code and says what became of them.

Put this file beside your client and write:

    from brownout_stdio import serve, Unknown

    def handler(operation):
        # operation["input"] is what your caller wants, operation["url"] the mock's base URL,
        # operation["api_key"] the key to use; operation["id"] names it.
        charge(operation["url"], operation["api_key"], operation["input"])

    serve(handler)

A handler that returns has succeeded, one that raises has failed, and one that raises Unknown says
honestly that it does not know whether it took effect. What it returns, if text, is kept as the detail;
a dict such as {"provider": "backup", "detail": "…"} also says which provider did the work.
Each operation runs in a thread of its own. Standard output belongs to the loop: what the handler
prints goes to standard error. Python 3.8 or later, standard library only.
"""

import json
import sys
import threading
import time


class Unknown(Exception):
    """Raise it when you cannot tell whether the operation took effect."""


def serve(handler, lines=None, out=None):
    """Reads operations until the end of standard input, and answers each with one line."""
    lines = sys.stdin if lines is None else lines
    out = sys.stdout if out is None else out
    lock = threading.Lock()
    threads = []

    def work(operation):
        try:
            outcome, said = "succeeded", handler(operation)
        except Unknown as error:
            outcome, said = "unknown", str(error)
        except Exception as error:  # whatever went wrong, the caller must hear of it
            outcome, said = "failed", f"{type(error).__name__}: {error}"
        claim = {"id": operation["id"], "submit": operation["submit"], "outcome": outcome}
        if isinstance(said, str):
            said = {"detail": said}
        if isinstance(said, dict):
            claim.update((name, said[name]) for name in ("provider", "detail") if said.get(name))
        with lock:
            out.write(json.dumps(claim) + "\n")
            out.flush()

    real_stdout, sys.stdout = sys.stdout, sys.stderr  # a stray print must not break a line in two
    try:
        for line in lines:
            if line.strip():
                # A daemon: one that hangs past its deadline must not keep the program alive.
                operation = json.loads(line)
                thread = threading.Thread(target=work, args=(operation,), daemon=True)
                threads.append((thread, time.monotonic() + operation.get("deadline_ms", 30_000) / 1000))
                thread.start()
        for thread, deadline in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
    finally:
        sys.stdout = real_stdout
