"""Ignores every polite signal and works for ever. usage: ignores_sigterm.py PORT"""

import signal
import sys
import time

import beacon

for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(polite, signal.SIG_IGN)
light = beacon.light(sys.argv[1])
time.sleep(600)
