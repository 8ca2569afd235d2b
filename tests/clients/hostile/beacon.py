"""Tells the test that a process lives: a connection that ends only with the process."""

import os
import socket


def light(port):
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(f"{os.getpid()}\n".encode())
    return connection
