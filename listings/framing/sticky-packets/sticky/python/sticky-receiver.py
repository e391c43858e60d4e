"""Waits for Enter, then takes each recv of one sender for a message."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7100

with socket.create_server((host, port)) as listener:
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    stream, peer = listener.accept()
    with stream:
        print("busy; press Enter", flush=True)
        sys.stdin.readline()
        while message := stream.recv(1024):
            print("read", message, flush=True)
