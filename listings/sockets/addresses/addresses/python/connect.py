"""Connects to a host twice: with a socket, then with create_connection."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7001

try:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.settimeout(5)
        stream.connect((host, port))
        print("connect:", stream.getpeername()[0], flush=True)
except OSError as error:
    print("connect:", type(error).__name__, flush=True)

try:
    with socket.create_connection((host, port), timeout=5) as stream:
        print("create_connection:", stream.getpeername()[0], flush=True)
except OSError as error:
    print("create_connection:", type(error).__name__, flush=True)
