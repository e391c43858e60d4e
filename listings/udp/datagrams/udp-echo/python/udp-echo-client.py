"""Asks a UDP echo server up to three times and prints its answer."""

import socket
import sys
import time

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7060


def receive(client, server):
    """The first datagram from the server, or None after half a second."""
    deadline = time.monotonic() + 0.5
    while (left := deadline - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            datagram, source = client.recvfrom(65535)
        except socket.timeout:
            continue
        if source == server:
            return datagram
    return None


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    for _ in range(3):
        client.sendto(b"Hello, world", (host, port))
        datagram = receive(client, (host, port))
        if datagram is not None:
            print("received", datagram)
            break
    else:
        sys.exit("no answer from %s:%d" % (host, port))
