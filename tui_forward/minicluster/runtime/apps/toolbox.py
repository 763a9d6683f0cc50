"""`toolbox`: one port per behavior, for tests and benchmarks.

===== ================================================================================
Port  Behavior
===== ================================================================================
7000  echo
7001  sink: reads a line `N` and N bytes, sends `N` and a line end; repeats
7002  source: reads a line `N`, sends N bytes, closes (`N keep`: reads the next line)
7003  accepts and never reads
7004  accepts and resets immediately
7005  slow: reads a line `N SECONDS`, sends N bytes, one every SECONDS
7006  late: reads a line `TEXT [SECONDS]`, sends `late TEXT` after SECONDS (3) whatever the
      client does meanwhile, closes
7007  sends `bye` and EOF, continues reading
7008  reads and sends nothing
7009  HTTP: `GET /counters[?port=N]`: exact byte counts of every connection; `/pid`
7010  resets after the first byte
7011  reads until EOF, then sends the count
8080  HTTP: `GET /…` returns the path, and closes
===== ================================================================================

Settings: `OFFSET` is added to every port.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

from tui_forward.minicluster.runtime.apps import http
from tui_forward.minicluster.runtime.apps.connection import AppConnection, ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.apps.echo import echo

_CHUNK = 1024 * 1024
_SOURCE = memoryview(bytes(range(256)) * (_CHUNK // 256))
COUNTERS_PORT = 7009


def _parse_number(words: list[bytes], at: int, default: float) -> float:
    try:
        return float(words[at])
    except (IndexError, ValueError):
        return default


async def sink(conn: AppConnection) -> None:
    """Read a count and that many bytes, then send the count; repeat."""
    while True:
        try:
            count = int(await conn.read_line())
        except EOFError:
            return
        await conn.discard(count)
        await conn.write(b"%d\n" % count)


async def sink_until_end(conn: AppConnection) -> None:
    """Read until EOF, then send the count."""
    buffer = memoryview(bytearray(_CHUNK))
    total = 0
    while count := await conn.read_into(buffer):
        total += count
    await conn.write(b"%d\n" % total)


async def source(conn: AppConnection) -> None:
    """Send as many bytes as requested."""
    while True:
        try:
            words = (await conn.read_line()).split()
        except EOFError:
            return
        await conn.write_pattern(_SOURCE, int(words[0]) if words else 0)
        if b"keep" not in words:
            return


async def never_read(conn: AppConnection) -> None:
    """Keep the connection open without reading."""
    await asyncio.Event().wait()
    conn.close()


async def reset(conn: AppConnection) -> None:
    """Reset immediately."""
    conn.reset()


async def reset_later(conn: AppConnection) -> None:
    """Reset after the first byte."""
    await conn.read(1)
    conn.reset()


async def slow(conn: AppConnection) -> None:
    """Send bytes one by one."""
    words = (await conn.read_line()).split()
    for _ in range(int(_parse_number(words, 0, 10))):
        await conn.write(b".")
        await asyncio.sleep(_parse_number(words, 1, 0.1))


async def late(conn: AppConnection) -> None:
    """Send a reply after a delay."""
    words = (await conn.read_line()).split()
    await asyncio.sleep(_parse_number(words, 1, 3.0))
    await conn.write(b"late " + (words[0] if words else b"") + b"\n")


async def half_close(conn: AppConnection) -> None:
    """Send EOF, then only read."""
    await conn.write(b"bye\n")
    conn.sock.shutdown(socket.SHUT_WR)
    buffer = memoryview(bytearray(65536))
    while await conn.read_into(buffer):
        pass


async def hold(conn: AppConnection) -> None:
    """Read and send nothing."""
    buffer = memoryview(bytearray(65536))
    while await conn.read_into(buffer):
        pass


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    connections = ConnectionLog()
    offset = int(context.get_setting("OFFSET", "0"))

    async def counters(request: http.Request) -> http.Response:
        target = urlsplit(request.target)
        if target.path == "/pid":
            return http.Response(body=b"%d\n" % os.getpid())
        port = parse_qs(target.query).get("port", [""])[0]
        body = connections.to_json(port=int(port) if port.isdigit() else None)
        return http.Response(body=body, content_type="application/json")

    async def page(request: http.Request) -> http.Response:
        return http.Response(body=f"requested {request.target}\n".encode(), close=True)

    from_7000 = (echo, sink, source, never_read, reset, slow, late, half_close, hold)
    services: dict[int, Callable[[AppConnection], Awaitable[None]]]
    services = dict(enumerate(from_7000, 7000))
    services |= {COUNTERS_PORT: http.make_handler(counters), 8080: http.make_handler(page)}
    services |= {7010: reset_later, 7011: sink_until_end}
    # The connections that read the counters are not counted.
    uncounted = ConnectionLog()
    for port, service in services.items():
        log = uncounted if port == COUNTERS_PORT else connections
        context.serve(log, port + offset, service)
    context.log(f"toolbox: serving {len(services)} ports")
    return await context.serve_forever()
