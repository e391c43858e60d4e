"""Sends each argument as a frame: four bytes of length, and the text."""

import socket
import struct
import sys

host, port, *messages = sys.argv[1:]

with socket.create_connection((host, int(port)), timeout=5) as stream:
    for message in messages:
        payload = message.encode()
        # > is big-endian, I is an unsigned number of four bytes.
        stream.sendall(struct.pack(">I", len(payload)) + payload)
