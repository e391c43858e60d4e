"""What the chapter says about Python. It fails at the first claim that is not so."""

import errno
import os
import signal
import socket


def connected():
    """A client and a server that are connected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=20)
        server, _ = listener.accept()
    server.settimeout(20)
    return client, server


def fails(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return True
    return False


# socket: family, type, protocol
stream = socket.socket()
assert (stream.family, stream.type) == (socket.AF_INET, socket.SOCK_STREAM)
assert stream.proto == 0
stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
assert stream.proto == socket.IPPROTO_TCP

# what Python sets, and what it doesn't
assert not stream.get_inheritable()
assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
assert stream.gettimeout() is None
if os.name == "posix":
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0

# connect_ex returns the number, and raises what is not about connecting
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
assert stream.connect_ex(bound.getsockname()) != 0
if os.name == "posix":
    assert socket.socket().connect_ex(bound.getsockname()) == errno.ECONNREFUSED
assert fails(TypeError, stream.connect_ex, "127.0.0.1")

# sendall returns nothing; recv returns b"" at the end, and again; MSG_PEEK is a flag
client, server = connected()
assert client.sendall(b"Hello") is None
assert server.recv(2, socket.MSG_PEEK) == b"He"
assert server.recv(16) == b"Hello"
client.shutdown(socket.SHUT_WR)
assert server.recv(16) == b"" and server.recv(16) == b""

# settimeout: 0 is non-blocking and None waits for ever; gettimeout gives it back
client, server = connected()
server.settimeout(0.02)
assert server.gettimeout() == 0.02
assert fails(TimeoutError, server.recv, 16)
server.settimeout(0)
assert not server.getblocking()
assert fails(BlockingIOError, server.recv, 16)
server.settimeout(None)
assert server.getblocking()

# sendall on a non-blocking socket fails half-way
client.setblocking(False)
assert fails(BlockingIOError, client.sendall, bytes(64 << 20))

# fileno is a number, -1 after close; any use after close is an error at run time
client, server = connected()
assert server.fileno() > 2
server.close()
assert server.fileno() == -1
assert fails(OSError, server.send, b"late")

# makefile keeps the connection open when the socket is closed
client, server = connected()
writer = server.makefile("wb")
server.close()
writer.write(b"still open\n")
writer.flush()
reader = client.makefile("rb")
assert reader.readline() == b"still open\n"
writer.close()
assert reader.readline() == b""
