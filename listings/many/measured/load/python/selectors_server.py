"""An echo server on selectors, in one thread."""

import errno
import selectors
import socket
import sys

BUFFER = 16 * 1024
BACKLOG = 4096


class Client:
    """A connection, and what of its bytes waits to be sent."""

    def __init__(self, sock):
        self.sock = sock
        self.waiting = b""


class Server:
    def __init__(self, addr):
        host, port = addr.rsplit(":", 1)
        self.listener = socket.create_server(
            (host, int(port)), backlog=BACKLOG
        )
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.paused = False

    def run(self):
        host, port = self.listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        while True:
            for key, _ in self.selector.select():
                client = key.data
                if client is None:
                    self.accept()
                elif client.waiting:
                    self.flush(client)
                else:
                    self.echo(client)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                # No more until a descriptor comes back.
                print(f"accept: {error}", file=sys.stderr)
                self.selector.unregister(self.listener)
                self.paused = True
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(
                sock, selectors.EVENT_READ, Client(sock)
            )

    def drop(self, client):
        self.selector.unregister(client.sock)
        client.sock.close()
        if self.paused:
            self.selector.register(self.listener, selectors.EVENT_READ)
            self.paused = False

    def echo(self, client):
        try:
            received = client.sock.recv(BUFFER)
            if not received:
                self.drop(client)
                return
            sent = client.sock.send(received)
        except BlockingIOError:
            # `recv` never says that here: select told us that it is ready.
            sent = 0
        except OSError:
            self.drop(client)
            return
        if sent < len(received):
            # Read no more until the rest is gone.
            client.waiting = received[sent:]
            self.selector.modify(
                client.sock, selectors.EVENT_WRITE, client
            )

    def flush(self, client):
        try:
            sent = client.sock.send(client.waiting)
        except BlockingIOError:
            return
        except OSError:
            self.drop(client)
            return
        client.waiting = client.waiting[sent:]
        if not client.waiting:
            self.selector.modify(client.sock, selectors.EVENT_READ, client)


def main():
    addr = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7137"
    try:
        server = Server(addr)
    except (OSError, ValueError) as error:
        sys.exit(f"selectors_server: {addr}: {error}")
    try:
        server.run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
