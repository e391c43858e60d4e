"""Waits 20 ms for bytes that never come; tests/strace.rs looks at how."""

import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as stream:
        stream.settimeout(0.02)
        try:
            stream.recv(16)
        except TimeoutError:
            pass
