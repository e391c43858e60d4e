"""Sends a listening TCP socket from one process to another, over a Unix socket."""

import os
import socket

here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork() == 0:
    listener = socket.create_server(("127.0.0.1", 0))
    print(os.getpid(), os.readlink(f"/proc/self/fd/{listener.fileno()}"), flush=True)
    socket.send_fds(there, [b"x"], [listener.fileno()])
else:
    here.settimeout(30)
    _, (descriptor,), _, _ = socket.recv_fds(here, 1, 1)
    os.wait()
    print(os.getpid(), os.readlink(f"/proc/self/fd/{descriptor}"), flush=True)
