"""Services that behave badly:

    hostile.py deaf|dies|drops_dead|garbage|drips|floods|floods_head|hangs|never_ready|cuts|stubborn|chatters|leaks
"""

import os
import signal
import socket
import sys
import time

KIND = sys.argv[1]

if KIND == "dies":
    sys.exit("no configuration")
if KIND == "deaf":
    # It lives, and never listens.
    time.sleep(600)
if KIND == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND == "chatters":
    import threading

    def chatter():
        while True:
            print("x" * 1000, flush=True)

    threading.Thread(target=chatter, daemon=True).start()

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
OK = b"HTTP/1.1 200 OK\r\n"


def serve(stream):
    head = b""
    while b"\r\n\r\n" not in head:
        read = stream.recv(65536)
        if not read:
            return
        head += read
    if head.startswith(b"GET /health") and KIND != "never_ready":
        stream.sendall(OK + b"content-length: 0\r\n\r\n")
    elif KIND == "never_ready":
        stream.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    elif KIND == "drops_dead":
        os._exit(3)
    elif KIND == "garbage":
        stream.sendall(b"\x00\xff this is no HTTP\r\n\r\n")
    elif KIND == "cuts":
        stream.sendall(OK + b"content-length: 100\r\n\r\nhalf")
    elif KIND == "drips":
        for _ in range(600):
            stream.sendall(b"H")
            time.sleep(1)
    elif KIND == "floods":
        stream.sendall(OK + b"transfer-encoding: chunked\r\n\r\n")
        while True:
            stream.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    elif KIND == "floods_head":
        stream.sendall(OK)
        while True:
            stream.sendall(b"x-more: " + b"x" * 65536 + b"\r\n")
    elif KIND == "leaks":
        key = os.environ["BROWNOUT_API_KEY"].encode()
        stream.sendall(b"HTTP/1.1 303 See Other\r\ncontent-length: %d\r\n\r\n%s" % (len(key), key))
    elif KIND == "hangs":
        time.sleep(600)
    else:
        stream.sendall(OK + b"content-length: 0\r\n\r\n")


while True:
    stream, _ = listener.accept()
    with stream:
        try:
            serve(stream)
        except OSError:
            pass
