"""Sends every datagram back to where it came from."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7060

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((host, port))
    print("listening on %s:%d" % server.getsockname(), flush=True)
    while True:
        datagram, peer = server.recvfrom(65535)
        server.sendto(datagram, peer)
