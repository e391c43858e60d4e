"""An echo server on asyncio, with its streams."""

import asyncio
import sys

BUFFER = 16 * 1024
BACKLOG = 4096


async def echo(reader, writer):
    try:
        while received := await reader.read(BUFFER):
            writer.write(received)
            # Waits while too much of it is unsent.
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def run(host, port):
    server = await asyncio.start_server(echo, host, port, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    async with server:
        await server.serve_forever()


def main():
    addr = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7138"
    try:
        host, port = addr.rsplit(":", 1)
        asyncio.run(run(host, int(port)))
    except (OSError, ValueError) as error:
        sys.exit(f"asyncio_server: {addr}: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
