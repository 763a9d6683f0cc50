"""`toolbox`: one port per behaviour, for tests and benchmarks.

===== ================================================================================
Port  What a connection meets
===== ================================================================================
7000  echo
7001  sink: a line `N`, then N bytes in; answers `N` and a line end, for ever
7002  source: a line `N`; answers N bytes, closes (`N keep`: goes on with the next line)
7003  accepts and never reads
7004  accepts and resets at once
7005  slow: a line `N SECONDS`; N bytes, one every SECONDS
7006  late: a line `TEXT [SECONDS]`; answers `late TEXT` after SECONDS (3), whatever the
      client does meanwhile, then closes
7007  says `bye` and ends its half; goes on reading
7008  accepts and holds, silently; reads what comes
7009  HTTP: `GET /counters[?port=N]`: every connection with its exact bytes; `/pid`
7010  resets after the first byte
7011  sink for ever: reads until the end, then answers with the count
8080  HTTP: `GET /…` answers with the path, and closes
===== ================================================================================

Settings: `OFFSET` is added to every port.
"""

from __future__ import annotations

import asyncio
import os
from urllib.parse import parse_qs, urlsplit

from tui_forward.minicluster.runtime.apps import http
from tui_forward.minicluster.runtime.apps.context import AppConnection, AppContext, ConnectionLog
from tui_forward.minicluster.runtime.apps.echo import echo

_CHUNK = 1024 * 1024
_SOURCE = memoryview(bytes(range(256)) * (_CHUNK // 256))
COUNTERS_PORT = 7009


def _number(words: list[bytes], at: int, default: float) -> float:
    try:
        return float(words[at])
    except (IndexError, ValueError):
        return default


async def sink(conn: AppConnection) -> None:
    """A count, that many bytes, the count again."""
    buffer = memoryview(bytearray(_CHUNK))
    while True:
        try:
            expected = int(await conn.line())
        except EOFError:
            return
        left = expected
        while left:
            if conn.buffered:
                left -= len(await conn.read(left))
                continue
            count = await conn.read_into(buffer[:left])
            if not count:
                raise EOFError
            left -= count
        await conn.write(b"%d\n" % expected)


async def sink_until_end(conn: AppConnection) -> None:
    """Everything until the client's end, then the count."""
    buffer = memoryview(bytearray(_CHUNK))
    total = 0
    while count := await conn.read_into(buffer):
        total += count
    await conn.write(b"%d\n" % total)


async def source(conn: AppConnection) -> None:
    """As many bytes as asked for."""
    while True:
        try:
            words = (await conn.line()).split()
        except EOFError:
            return
        left = int(words[0]) if words else 0
        while left:
            piece = _SOURCE[:left]
            await conn.write(piece)
            left -= len(piece)
        if b"keep" not in words:
            return


async def never_read(conn: AppConnection) -> None:
    """Nothing; only an error of the socket ends it."""
    await asyncio.Event().wait()
    conn.close()


async def reset(conn: AppConnection) -> None:
    """A reset at once."""
    conn.reset()


async def reset_later(conn: AppConnection) -> None:
    """A reset after the first byte."""
    await conn.read(1)
    conn.reset()


async def slow(conn: AppConnection) -> None:
    """Bytes, one by one."""
    words = (await conn.line()).split()
    for _ in range(int(_number(words, 0, 10))):
        await conn.write(b".")
        await asyncio.sleep(_number(words, 1, 0.1))


async def late(conn: AppConnection) -> None:
    """An answer after a while."""
    words = (await conn.line()).split()
    await asyncio.sleep(_number(words, 1, 3.0))
    await conn.write(b"late " + (words[0] if words else b"") + b"\n")


async def half_close(conn: AppConnection) -> None:
    """An end of its own half, then only reading."""
    await conn.write(b"bye\n")
    conn.sock.shutdown(1)
    buffer = memoryview(bytearray(65536))
    while await conn.read_into(buffer):
        pass


async def hold(conn: AppConnection) -> None:
    """Silence."""
    buffer = memoryview(bytearray(65536))
    while await conn.read_into(buffer):
        pass


async def main(context: AppContext) -> int:
    """Serve for ever."""
    ledger = ConnectionLog()
    offset = int(context.setting("OFFSET", "0"))

    async def counters(request: http.Request) -> http.Response:
        target = urlsplit(request.target)
        if target.path == "/pid":
            return http.Response(body=b"%d\n" % os.getpid())
        port = parse_qs(target.query).get("port", [""])[0]
        body = ledger.snapshot(port=int(port) if port.isdigit() else None)
        return http.Response(body=body, content_type="application/json")

    async def page(request: http.Request) -> http.Response:
        return http.Response(body=f"you asked for {request.target}\n".encode(), close=True)

    services = {
        7000: echo,
        7001: sink,
        7002: source,
        7003: never_read,
        7004: reset,
        7005: slow,
        7006: late,
        7007: half_close,
        7008: hold,
        COUNTERS_PORT: http.serving(counters),
        7010: reset_later,
        7011: sink_until_end,
        8080: http.serving(page),
    }
    # The counters must not count the connections that ask for them.
    asking = ConnectionLog()
    for port, service in services.items():
        context.serve(asking if port == COUNTERS_PORT else ledger, port + offset, service)
    context.log(f"toolbox: serving {len(services)} ports")
    return await context.forever()
