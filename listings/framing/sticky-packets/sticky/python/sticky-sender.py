"""Sends two messages, one right after the other."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7100

with socket.create_connection((host, port), timeout=5) as stream:
    stream.sendall(b"left 10")
    stream.sendall(b"right 5")
