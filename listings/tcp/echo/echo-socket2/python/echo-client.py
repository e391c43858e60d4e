"""Sends one message to an echo server and prints one read of the reply."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7001

with socket.create_connection((host, port), timeout=5) as stream:
    stream.sendall(b"Hello, world")
    print("received", stream.recv(1024))
