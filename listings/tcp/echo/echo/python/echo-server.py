"""Echoes one client until that client closes its side, then ends."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7001

with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    stream, peer = listener.accept()
    with stream:
        while received := stream.recv(1024):
            stream.sendall(received)
