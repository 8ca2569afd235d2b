#!/usr/bin/env python3
"""Runs a program once for each operation, as exec mode does, out of a process that has imported its SDK already.

`warm_stdio.py openai tests/clients/openai_careful.py`: importing an SDK takes seconds of processor time, an operation
hardly any. The program is unchanged, and each operation has a process, an environment and an exit code of its own.
"""

import importlib
import json
import os
import runpy
import sys
import traceback

# A user puts the loop beside the client; here it stays where it is shipped.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "harness", "loops"))
from brownout_stdio import Unknown, serve  # noqa: E402

EXIT_UNKNOWN = 75
SDK, PROGRAM = sys.argv[1:]
URL, KEY = os.environ["BROWNOUT_URL"], os.environ["BROWNOUT_API_KEY"]


def handler(operation):
    child = os.fork()
    if child == 0:
        os._exit(program(operation))  # what the loop has not written yet is the parent's
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == EXIT_UNKNOWN:
        raise Unknown(f"{PROGRAM} does not know")
    if code != 0:
        raise RuntimeError(f"{PROGRAM} ended with {code}")


def program(operation):
    """The exit code of the program; what it prints goes to standard error, as the loop has it."""
    try:
        for name, value in os.environ.items():
            os.environ[name] = value.replace(URL, operation["url"]).replace(KEY, operation["api_key"])
        os.environ["BROWNOUT_OPERATION"] = json.dumps(operation)
        sys.argv = [PROGRAM]
        sys.path.insert(0, os.path.dirname(PROGRAM))
        runpy.run_path(PROGRAM, run_name="__main__")
        return 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
    except BaseException:  # as the interpreter itself would end
        traceback.print_exc()
    finally:
        sys.stderr.flush()
    return 1


if __name__ == "__main__":
    importlib.import_module(SDK)
    serve(handler)
