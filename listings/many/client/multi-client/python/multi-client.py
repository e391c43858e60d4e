import errno
import os
import selectors
import socket
import sys
import time

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7133
count = int(sys.argv[3]) if len(sys.argv) > 3 else 3

MESSAGES = [b"first of two messages.", b"and the second of them"]
PATIENCE = 10  # seconds, for all of it


class Connection:
    def __init__(self, number):
        self.number = number
        self.connected = False
        self.to_send = list(MESSAGES)
        self.received = b""

    def go_on(self, stream, events):
        """Does what can be done without waiting; says whether that is all."""
        if not self.connected:
            error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self.connected = True
        if events & selectors.EVENT_WRITE:
            if self.to_send:
                sent = stream.send(self.to_send[0])
                self.to_send[0] = self.to_send[0][sent:]
                if not self.to_send[0]:
                    del self.to_send[0]
            if not self.to_send:  # nothing more to wait for on this side
                selector.modify(stream, selectors.EVENT_READ, self)
        if events & selectors.EVENT_READ:
            chunk = stream.recv(1024)
            if not chunk:
                raise EOFError(f"closed after {len(self.received)} bytes")
            self.received += chunk
            if not b"".join(MESSAGES).startswith(self.received):
                raise ValueError(f"{len(chunk)} bytes that are not an echo")
        return self.received == b"".join(MESSAGES)


selector = selectors.DefaultSelector()
done = 0
for number in range(1, count + 1):
    stream = socket.socket()
    stream.setblocking(False)
    error = stream.connect_ex((host, port))
    if error not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        print(f"connection {number}: {os.strerror(error)}", file=sys.stderr)
        stream.close()
        continue
    both = selectors.EVENT_READ | selectors.EVENT_WRITE
    selector.register(stream, both, Connection(number))

deadline = time.monotonic() + PATIENCE
while selector.get_map():
    left = deadline - time.monotonic()
    ready = selector.select(left) if left > 0 else []
    if not ready:
        sys.exit(f"multi-client.py: not done within {PATIENCE} s")
    for key, events in ready:
        stream, connection = key.fileobj, key.data
        try:
            if not connection.go_on(stream, events):
                continue
            done += 1
            count_back = len(connection.received)
            print(f"connection {connection.number}: {count_back} bytes back")
        except (OSError, EOFError, ValueError) as error:
            print(f"connection {connection.number}: {error}", file=sys.stderr)
        selector.unregister(stream)
        stream.close()
print(f"{done} of {count} done")
sys.exit(0 if done == count else 1)
