"""Leaves a child in a session of its own, two forks away; with `bare` also without any environment.

usage: escapes.py PORT [bare]
Each process lights a beacon at PORT. The first one exits 0 at once.
"""

import os
import signal
import sys
import time

import beacon

port = sys.argv[1]
if sys.argv[2:] == ["stay"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    light = beacon.light(port)
    print("lit", flush=True)
    time.sleep(600)
    sys.exit()

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.dup2(writer, 1)  # the first process waits for this word
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        environment = {} if sys.argv[2:] == ["bare"] else dict(os.environ)
        os.execve(sys.executable, [sys.executable, __file__, port, "stay"], environment)
    os._exit(0)
os.close(writer)
assert os.read(reader, 3) == b"lit"
