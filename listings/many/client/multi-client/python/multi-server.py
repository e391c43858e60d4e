import selectors
import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7170

MOST = 65536  # bytes that wait for one client


def close(stream):
    selector.unregister(stream)
    stream.close()


def accept(listener):
    try:
        stream, _ = listener.accept()
    except OSError:  # the client has gone again
        return
    stream.setblocking(False)
    selector.register(stream, selectors.EVENT_READ, bytearray())


def serve(stream, waiting):
    try:
        if len(waiting) < MOST and stream not in ended:
            chunk = stream.recv(MOST - len(waiting))
            waiting += chunk
            if not chunk:
                ended.add(stream)
    except BlockingIOError:
        pass
    except OSError:
        ended.discard(stream)
        close(stream)
        return
    try:
        if waiting:
            sent = stream.send(waiting)
            del waiting[:sent]
    except BlockingIOError:
        pass
    except OSError:
        ended.discard(stream)
        close(stream)
        return
    if stream in ended and not waiting:
        ended.remove(stream)
        close(stream)
        return
    # Ask for what can be used. A socket is nearly always writable.
    events = selectors.EVENT_WRITE if waiting else 0
    if len(waiting) < MOST and stream not in ended:
        events |= selectors.EVENT_READ
    selector.modify(stream, events, waiting)


selector = selectors.DefaultSelector()
ended = set()  # the streams whose clients have said everything
with socket.create_server((host, port), backlog=1024) as listener:
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                accept(key.fileobj)
            else:
                serve(key.fileobj, key.data)
