"""Answers each read with its upper case, one client after the other."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7030

with socket.create_server((host, port)) as listener:
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    while True:
        stream, peer = listener.accept()
        with stream:
            stream.settimeout(60)
            try:
                while received := stream.recv(1024):
                    # The method of bytes, not of text: ASCII letters only.
                    stream.sendall(received.upper())
            except OSError as error:
                print("%s:%d:" % peer, error, file=sys.stderr)
