"""Prints the frames of one client: four bytes of length, and the text."""

import socket
import struct
import sys

LIMIT = 64 * 1024


def read_exactly(stream, length):
    """The next `length` bytes; fewer, if the stream ends before."""
    received = b""
    while len(received) < length:
        piece = stream.recv(min(length - len(received), 4096))
        if not piece:
            break
        received += piece
    return received


def read_frame(stream):
    """The payload of the next frame, or None at the end of the stream."""
    prefix = read_exactly(stream, 4)
    if not prefix:
        return None
    if len(prefix) < 4:
        raise EOFError("the stream ended inside of a prefix")
    (length,) = struct.unpack(">I", prefix)
    if length > LIMIT:
        raise ValueError(f"a frame of {length} bytes, and the limit is {LIMIT}")
    payload = read_exactly(stream, length)
    if len(payload) < length:
        raise EOFError("the stream ended inside of a frame")
    return payload


host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7110

with socket.create_server((host, port)) as listener:
    print("listening on", "%s:%d" % listener.getsockname(), flush=True)
    stream, peer = listener.accept()
    with stream:
        stream.settimeout(10)
        try:
            while (frame := read_frame(stream)) is not None:
                print("length %d, %r" % (len(frame), frame), flush=True)
            print("closed", flush=True)
        except (EOFError, ValueError, OSError) as error:
            sys.exit(f"frames-server.py: {peer[0]}:{peer[1]}: {error}")
