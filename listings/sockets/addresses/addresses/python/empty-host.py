"""Binds the empty host, which Python takes for all addresses of this host."""

import socket

with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
    listener.bind(("", 0))
    print("bound", listener.getsockname()[0], flush=True)
