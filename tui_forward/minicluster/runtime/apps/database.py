"""`database`: a small key-value store with a line protocol. Settings: `PORT`, `NAME`.

Every client gets a banner line. Commands, one per line: `SET key value`, `GET key`, `DEL key`,
`KEYS`, `DUMP n` (n bytes of data after a line `+n`), `PING`, `COUNTERS`, `QUIT`.
"""

from __future__ import annotations

import os

from tui_forward.minicluster.runtime.apps.connection import AppConnection, ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext

MAX_KEYS = 10_000
MAX_DUMP = 1 << 40

_PATTERN = memoryview(bytes(range(32, 127)) * 2760)  # just over 256 KiB


class _Store:
    def __init__(self, name: str) -> None:
        self.name = name
        self.connections = ConnectionLog()
        self.values: dict[str, str] = {"motd": "hello from inside the pod", "version": "1.0"}

    async def serve(self, conn: AppConnection) -> None:
        await conn.write(f"+tiny-db 1.0 ready, this is {self.name}\n".encode())
        while True:
            try:
                line = (await conn.read_line()).decode("utf-8", "replace")
            except EOFError:
                return
            command, _, rest = line.strip().partition(" ")
            if command.upper() == "QUIT":
                await conn.write(b"+bye\n")
                return
            await self._execute(conn, command.upper(), rest)

    async def _execute(self, conn: AppConnection, command: str, rest: str) -> None:
        key, _, value = rest.partition(" ")
        match command:
            case "SET" if key:
                if key not in self.values and len(self.values) >= MAX_KEYS:
                    await conn.write(b"-ERR store is full\n")
                    return
                self.values[key] = value
                await conn.write(b"+OK\n")
            case "GET" if key:
                stored = self.values.get(key)
                await conn.write(b"(nil)\n" if stored is None else f"{stored}\n".encode())
            case "DEL" if key:
                await conn.write(b"+1\n" if self.values.pop(key, None) is not None else b"+0\n")
            case "KEYS":
                await conn.write(" ".join(sorted(self.values)).encode() + b"\n")
            case "DUMP" if rest.isascii() and rest.isdigit():
                await self._dump(conn, min(int(rest), MAX_DUMP))
            case "PING":
                await conn.write(b"+PONG\n")
            case "COUNTERS":
                await conn.write(self.connections.to_json() + b"\n")
            case _:
                await conn.write(b"-ERR unknown command; try SET GET DEL KEYS DUMP PING QUIT\n")

    async def _dump(self, conn: AppConnection, count: int) -> None:
        await conn.write(f"+{count}\n".encode())
        await conn.write_pattern(_PATTERN, count)


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    port = context.get_port(5432)
    name = (
        context.get_setting("NAME") or context.get_setting("HOSTNAME") or f"process {os.getpid()}"
    )
    context.log(f"database: {name} ready to accept connections on port {port}")
    store = _Store(name)
    context.serve(store.connections, port, store.serve)
    return await context.serve_forever()
