"""What an application knows of its container, and the sockets it serves on.

Applications move bytes on plain non-blocking sockets (`Conn`), not on asyncio's streams: it
is cheaper, and every byte is counted when the kernel takes or gives it, so that the counters
of a client can be held against them exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

LINE_LIMIT: Final = 64 * 1024
MAX_REMEMBERED: Final = 20_000


class AppContext:
    """Arguments, environment and network of one container.

    Args:
        args: Arguments of the container; `--some-key=value` overrides `SOME_KEY`.
        env: Environment of the container.
        network: A `shim_protocol.NetworkKind`.
        host: Address to listen on where there is no network namespace.
    """

    def __init__(
        self, *, args: tuple[str, ...], env: Mapping[str, str], network: str, host: str
    ) -> None:
        self.args = args
        self._settings = dict(env)
        for argument in args:
            key, separator, value = argument.partition("=")
            if separator and key.startswith("--"):
                self._settings[key[2:].replace("-", "_").upper()] = value
        self._network = network
        self._host = host
        self._status: int | None = None

    def setting(self, key: str, default: str = "") -> str:
        """A setting by its environment name."""
        return self._settings.get(key, default)

    def seconds(self, key: str, default: float) -> float:
        """A setting in seconds; what is no number counts as `default`."""
        try:
            return float(self.setting(key, str(default)))
        except ValueError:
            return default

    def port(self, default: int) -> int:
        """The port to serve: `PORT`, else `default`."""
        try:
            return int(self.setting("PORT", str(default)))
        except ValueError:
            return default

    def log(self, text: str) -> None:
        """A line on the container's stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def report_to(self, descriptor: int) -> None:
        """Tell the shim through `descriptor` where the application listens."""
        self._status = descriptor

    def _report(self, line: str) -> None:
        if self._status is not None:
            with contextlib.suppress(OSError):
                os.write(self._status, line.encode() + b"\n")

    def up(self) -> None:
        """Say that the application is as ready as it will ever be."""
        self._report("up")

    def listen(self, port: int) -> socket.socket:
        """A listening socket for the pod's port `port`.

        Raises:
            OSError: The port is taken.
        """
        if self._network == "netns":
            try:
                sock = socket.create_server(
                    ("", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True
                )
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                    raise
                sock = socket.create_server(("", port), backlog=4096)  # no IPv6 here
        elif self._network == "mapped":
            sock = socket.create_server((self._host, 0), backlog=4096)
        else:
            try:
                sock = socket.create_server((self._host, port), backlog=4096)
            except PermissionError:
                # A privileged port without privileges: the runtime knows where it really is.
                sock = socket.create_server((self._host, 0), backlog=4096)
        sock.setblocking(False)
        if self._network != "netns":
            host, real = sock.getsockname()[:2]
            self._report(f"{port} {host} {real}")
        return sock

    def serve(
        self, ledger: ConnectionLog, port: int, handler: Callable[[AppConnection], Awaitable[None]]
    ) -> None:
        """Serve `port` from now on, one task per connection.

        What ends a handler ends its connection, and nothing else.

        Raises:
            OSError: The port is taken.
        """
        listener = self.listen(port)
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        def accept() -> None:
            # A burst of connections is taken in one go; the bound keeps others alive.
            for _ in range(256):
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                task = loop.create_task(_handle(AppConnection(sock, ledger.opened(port)), handler))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        loop.add_reader(listener, accept)

    async def forever(self) -> int:
        """Say that the application is up, and serve until the process is ended."""
        self._report("up")
        await asyncio.get_running_loop().create_future()
        return 0


async def _handle(conn: AppConnection, handler: Callable[[AppConnection], Awaitable[None]]) -> None:
    try:
        await handler(conn)
    except OSError as error:
        conn.record.outcome = os.strerror(error.errno) if error.errno else str(error)
    except (ValueError, EOFError) as error:
        conn.record.outcome = str(error) or "end of file"
    finally:
        conn.close()


class Record(msgspec.Struct):
    """What one connection moved, as the application sees it.

    Attributes:
        received: Bytes the application read.
        sent: Bytes the kernel took from the application.
        outcome: "open", "closed", "reset", or an error in words.
    """

    id: int
    port: int
    opened_at: float
    received: int = 0
    sent: int = 0
    eof: bool = False
    outcome: str = "open"
    peer: str = ""


class ConnectionLog:
    """The connections of an application: totals for ever, records up to a bound."""

    def __init__(self) -> None:
        self._next = 1
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._forgotten_received = 0
        self._forgotten_sent = 0

    def opened(self, port: int) -> Record:
        """A record for a new connection."""
        record = Record(id=self._next, port=port, opened_at=time.time())
        self._next += 1
        self._records[record.id] = record
        if len(self._records) > MAX_REMEMBERED:
            _, old = self._records.popitem(last=False)
            self._forgotten_received += old.received
            self._forgotten_sent += old.sent
        return record

    def snapshot(self, *, port: int | None = None) -> bytes:
        """Totals and records as JSON; of one port if given."""
        records = [r for r in self._records.values() if port is None or r.port == port]
        return msgspec.json.encode(
            {
                "connections": self._next - 1,
                "open": sum(r.outcome == "open" for r in records),
                "received": self._forgotten_received + sum(r.received for r in records),
                "sent": self._forgotten_sent + sum(r.sent for r in records),
                "records": records,
            }
        )


class AppConnection:
    """One accepted connection.

    Args:
        sock: The socket; made non-blocking.
        record: Where its bytes are counted.
    """

    __slots__ = ("_buffer", "_loop", "closed", "record", "sock")

    def __init__(self, sock: socket.socket, record: Record) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.record = record
        self.closed = False
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            host, port = sock.getpeername()[:2]
            record.peer = f"{host}:{port}"

    async def read(self, limit: int = 65536) -> bytes:
        """At least one byte, empty at end of file."""
        if self._buffer:
            data, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return data
        while True:
            try:
                data = self.sock.recv(limit)
            except BlockingIOError:
                await self.readable()
            else:
                self._count_in(len(data))
                return data

    async def read_into(self, view: memoryview) -> int:
        """At least one byte into `view`, 0 at end of file; bypasses what `line` has read ahead."""
        while True:
            try:
                count = self.sock.recv_into(view)
            except BlockingIOError:
                await self.readable()
            else:
                self._count_in(count)
                return count

    def _count_in(self, count: int) -> None:
        self.record.received += count
        if not count:
            self.record.eof = True

    async def line(self) -> bytes:
        """One line without its end; what follows it stays for `read`.

        Raises:
            EOFError: The peer ended before a line did.
            ValueError: The line is too long.
        """
        received = bytearray()
        while True:
            data = await self.read()
            if not data:
                raise EOFError
            received += data
            end = received.find(b"\n")
            if end >= 0:
                self._buffer = bytes(received[end + 1 :]) + self._buffer
                return bytes(received[:end]).rstrip(b"\r")
            if len(received) > LINE_LIMIT:
                raise ValueError("line too long")

    @property
    def buffered(self) -> bool:
        """Whether `line` has read ahead; `read` gives that first, `read_into` does not."""
        return bool(self._buffer)

    async def write(self, data: bytes | memoryview) -> None:
        """All of `data`."""
        view = memoryview(data)
        while view:
            try:
                sent = self.sock.send(view)
            except BlockingIOError:
                await self.writable()
            else:
                self.record.sent += sent
                view = view[sent:]

    async def readable(self) -> None:
        """Wait until there is something to read."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self.sock, _wake, waiter)
        try:
            await waiter
        finally:
            self._loop.remove_reader(self.sock)

    async def writable(self) -> None:
        """Wait until the kernel takes more."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self.sock, _wake, waiter)
        try:
            await waiter
        finally:
            self._loop.remove_writer(self.sock)

    def reset(self) -> None:
        """Close with a reset."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.record.outcome == "open":
            self.record.outcome = "reset"
        self.close()

    def close(self) -> None:
        """Close; idempotent."""
        if self.closed:
            return
        self.closed = True
        if self.record.outcome == "open":
            self.record.outcome = "closed"
        self.sock.close()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
