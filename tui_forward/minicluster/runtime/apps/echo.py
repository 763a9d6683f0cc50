"""`echo`: sends back every byte it receives. Setting: `PORT`."""

from __future__ import annotations

import asyncio

from tui_forward.minicluster.runtime.apps.connection import AppConnection, ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext

_CHUNK = 256 * 1024


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    port = context.get_port(7000)
    context.log(f"echo: serving port {port}")
    context.serve(ConnectionLog(), port, echo)
    return await context.serve_forever()


async def echo(conn: AppConnection) -> None:
    """Echo until the client ends.

    The reader stays registered until a send would block, so that a round trip costs one wake-up
    and two system calls.
    """
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(_CHUNK))
    # Set when echoing stops: to the unsent bytes if a send would block, empty at EOF.
    stopped: asyncio.Future[memoryview] = loop.create_future()

    def readable() -> None:
        try:
            count = conn.sock.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            stopped.set_exception(error)
            loop.remove_reader(conn.sock)
            return
        conn.record.received += count
        if not count:
            conn.record.eof = True
            loop.remove_reader(conn.sock)
            stopped.set_result(buffer[:0])
            return
        try:
            sent = conn.sock.send(buffer[:count])
        except BlockingIOError:
            sent = 0
        except OSError as error:
            loop.remove_reader(conn.sock)
            stopped.set_exception(error)
            return
        conn.record.sent += sent
        if sent < count:
            loop.remove_reader(conn.sock)
            stopped.set_result(buffer[sent:count])

    while True:
        loop.add_reader(conn.sock, readable)
        try:
            unsent = await stopped
        finally:
            loop.remove_reader(conn.sock)
        if not unsent:
            return
        await conn.write(unsent)
        stopped = loop.create_future()
