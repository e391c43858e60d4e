"""Asks for lines, and prints the server's reply to each."""

import socket
import sys

host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 7030

with socket.create_connection((host, port), timeout=5) as stream:
    while True:
        try:
            question = input("> ").encode()
        except EOFError:
            break
        if not question.strip():
            continue
        stream.sendall(question)
        reply = b""
        while len(reply) < len(question):
            received = stream.recv(len(question) - len(reply))
            if not received:
                sys.exit("the server closed in the middle of a reply")
            reply += received
        print(reply.decode(errors="replace"))
    print()
    stream.shutdown(socket.SHUT_WR)
    while stream.recv(1024):
        pass
