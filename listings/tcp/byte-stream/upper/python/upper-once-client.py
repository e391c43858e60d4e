"""Sends one message, and prints what comes until the server closes."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7031

with socket.create_connection((host, port), timeout=5) as stream:
    stream.sendall(b"Hello, Server!")
    with stream.makefile("rb") as reader:
        print(reader.read(1024).decode())
