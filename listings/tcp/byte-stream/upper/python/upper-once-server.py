"""One read, one reply, and the server closes; then the next client."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7031

with socket.create_server((host, port)) as listener:
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    while True:
        stream, peer = listener.accept()
        with stream:
            stream.settimeout(5)
            try:
                stream.sendall(stream.recv(1024).upper())
            except OSError as error:
                print("%s:%d:" % peer, error, file=sys.stderr)
