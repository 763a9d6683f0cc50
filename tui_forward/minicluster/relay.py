"""Raw byte relays between two sockets, plain or TLS: what API server and kubelet do after a 101.

Both servers forward an upgraded connection without looking at it, and the first end of file
or error in either direction ends both sides, as Go's `UpgradeAwareHandler` does. This module
knows bytes and sockets only, nothing of HTTP.

The relays stand between a client and the pod, so each byte passes them twice. They therefore
read in big pieces, into two buffers that all connections of a thread share (what is read is
encrypted, sent or copied before anything else runs, so a thousand idle tunnels cost nothing), and
feed OpenSSL through memory BIOs: that way a piece of 256 KiB costs one system call instead of
sixteen records with two reads each.

A `Wire` belongs to one event loop and is not thread-safe. It needs a loop with `add_reader`
(on Windows: the selector loop).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable

CHUNK = 256 * 1024
"""Bytes moved per read: large enough that the cost per system call vanishes."""

LATE_LIMIT = 16 * CHUNK
"""Bytes that may wait per direction while a relay delivers late."""

_TLS_RECORD = 16 * 1024


class _Buffers(threading.local):
    """What every connection of a thread reads into: ciphertext, and what a relay passes on."""

    def __init__(self) -> None:
        self.raw = memoryview(bytearray(CHUNK))
        self.plain = memoryview(bytearray(CHUNK))


_buffers = _Buffers()


class SocketConnection:
    """One end of a connection: a non-blocking socket, and TLS over it if there is any.

    There are two ways to use it, not both at the same time in one direction: the coroutines
    (`read`, `write`, `start_tls`), meant for handshakes and headers; and the
    non-blocking calls (`read_into`, `send`, `flush`) together with `add_reader` and
    `add_writer` of the loop, meant for bulk data.

    Args:
        sock: A connected stream socket; made non-blocking, and owned from here on.
    """

    __slots__ = (
        "_ciphertext",
        "_eof",
        "_incoming",
        "_outgoing",
        "_plain_tail",
        "closed",
        "loop",
        "pushed_back",
        "sock",
        "tls",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.tls: ssl.SSLObject | None = None
        self.closed = False
        self.pushed_back = b""
        self._eof = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ciphertext = memoryview(b"")
        self._plain_tail = memoryview(b"")

    # -- coroutines: handshakes and headers --

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Do the TLS handshake.

        Not cancellation-safe: after a cancellation only `abort` makes sense.

        Raises:
            ssl.SSLError: The handshake failed.
            OSError: The connection broke.
        """
        tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush_all()
                data = await self.loop.sock_recv(self.sock, 65536)
                if not data:
                    raise ConnectionResetError("end of file during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                # The peer should learn why: the alert is already in the outgoing BIO.
                with contextlib.suppress(OSError):
                    self._ciphertext = memoryview(self._outgoing.read())
                    self.flush()
                raise
            else:
                break
        self.tls = tls
        await self._flush_all()

    async def read(self, limit: int = 65536) -> bytes:
        """Read at least one byte; empty at end of file. Cancellation-safe.

        Raises:
            OSError: The connection broke (`ssl.SSLError` included).
        """
        if self.pushed_back:
            data, self.pushed_back = self.pushed_back[:limit], self.pushed_back[limit:]
            return data
        view = _buffers.plain[:limit]
        while True:
            try:
                return bytes(view[: self.read_into(view)])
            except BlockingIOError:
                await self._ready(self.loop.add_reader, self.loop.remove_reader)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`.

        Raises:
            OSError: The connection broke.
        """
        if not self.send(memoryview(data)):
            await self._drain()

    async def _drain(self) -> None:
        while not self.flush():
            await self._ready(self.loop.add_writer, self.loop.remove_writer)

    async def _flush_all(self) -> None:
        if self._outgoing.pending:
            self._ciphertext = memoryview(self._outgoing.read())
        await self._drain()

    async def _ready(
        self,
        add: Callable[..., None],
        remove: Callable[[socket.socket], bool],
    ) -> None:
        if self.closed:
            raise ConnectionAbortedError("the connection was closed")
        waiter: asyncio.Future[None] = self.loop.create_future()
        add(self.sock, _wake, waiter)
        try:
            await waiter
        finally:
            if not self.closed:
                remove(self.sock)

    # -- non-blocking calls: bulk data --

    def read_into(self, view: memoryview) -> int:
        """Fill `view` as far as bytes are there now; 0 at end of file.

        A call that returns fewer bytes than `view` holds has taken everything there was, so
        waiting for readiness is safe; after a full one, `pending` tells whether it is.

        Raises:
            BlockingIOError: Nothing is there yet.
            OSError: The connection broke.
        """
        if self.pushed_back:
            head = self.pushed_back[: len(view)]
            view[: len(head)] = head
            self.pushed_back = self.pushed_back[len(head) :]
            return len(head)
        if self.tls is None:
            return self.sock.recv_into(view)
        return self._read_tls(self.tls, view)

    def _read_tls(self, tls: ssl.SSLObject, view: memoryview) -> int:
        raw = _buffers.raw
        filled = 0
        size = len(view)
        while True:
            try:
                while filled < size:
                    got = tls.read(size - filled, view[filled:])
                    if not got:
                        # close_notify: the peer's orderly end.
                        self._eof = True
                        return filled
                    filled += int(got)
                return filled
            except ssl.SSLWantReadError:
                # A TLS peer may want answers (key updates); they ride in the outgoing BIO.
                if self._outgoing.pending:
                    self.flush()
            except ssl.SSLZeroReturnError:
                self._eof = True
                return filled
            if filled >= _TLS_RECORD:
                return filled
            if self._eof:
                return filled
            try:
                got_raw = self.sock.recv_into(raw)
            except BlockingIOError:
                if filled:
                    return filled
                raise
            if not got_raw:
                # End of file without close_notify: Go reads it as an error, and a relay ends
                # either way.
                self._eof = True
                return filled
            self._incoming.write(raw[:got_raw])

    @property
    def pending(self) -> bool:
        """Whether bytes may wait in here that the socket's readiness does not announce."""
        return bool(self.pushed_back) or (
            # An end that came in one read with the last bytes is not announced either.
            self.tls is not None
            and (self._eof or self._incoming.pending > 0 or self.tls.pending() > 0)
        )

    def send(self, view: memoryview) -> bool:
        """Send `view`; False when a rest waits for `flush`.

        Until `flush` has said True, the caller sends nothing else. The memory behind `view` is
        free again at once: the rest is a copy.

        Raises:
            OSError: The connection broke.
        """
        if self.tls is not None:
            size = len(view)
            done = 0
            while done < size:
                done += self.tls.write(view[done:])
            self._ciphertext = memoryview(self._outgoing.read())
            return self.flush()
        self._plain_tail = view
        if self.flush():
            return True
        self._plain_tail = memoryview(bytes(self._plain_tail))
        return False

    def flush(self) -> bool:
        """Send what an earlier `send` left behind; True when nothing is left.

        Raises:
            OSError: The connection broke.
        """
        while True:
            rest = self._ciphertext if self.tls is not None or self._ciphertext else None
            if rest is None:
                rest = self._plain_tail
            while rest:
                try:
                    sent = self.sock.send(rest)
                except BlockingIOError:
                    self._keep(rest)
                    return False
                rest = rest[sent:]
            self._keep(memoryview(b""))
            if not self._outgoing.pending:
                return True
            self._ciphertext = memoryview(self._outgoing.read())

    def _keep(self, rest: memoryview) -> None:
        if self.tls is not None or self._ciphertext:
            self._ciphertext = rest
        else:
            self._plain_tail = rest

    # -- the end --

    def close(self) -> None:
        """Close in order: close_notify where TLS is up, then FIN. Never blocks or raises."""
        if self.closed:
            return
        if self.tls is not None and not self._ciphertext:
            with contextlib.suppress(OSError, ValueError):
                with contextlib.suppress(ssl.SSLError):
                    self.tls.unwrap()  # the peer's close_notify is not waited for
                self._ciphertext = memoryview(self._outgoing.read())
                self.flush()
        self._forget()

    def abort(self) -> None:
        """Close at once with a reset."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            self.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        self._forget()

    def _forget(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError, ValueError):
            self.loop.remove_reader(self.sock)
            self.loop.remove_writer(self.sock)
        self.sock.close()
        self._ciphertext = self._plain_tail = memoryview(b"")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def connect(host: str, port: int) -> SocketConnection:
    """Connect to `host:port`, which is an address and not a name.

    Raises:
        OSError: As from the system ("Connection refused").
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return SocketConnection(sock)


class _Pump:
    """One direction of a relay: reads from `source`, writes to `sink`."""

    __slots__ = (
        "_ending",
        "_late",
        "_late_size",
        "_loop",
        "_on_end",
        "_reading",
        "_sink",
        "_source",
        "_timer",
        "bytes",
        "delay_s",
        "stopped",
    )

    def __init__(
        self, source: SocketConnection, sink: SocketConnection, on_end: Callable[[], None]
    ) -> None:
        self._source = source
        self._sink = sink
        self._on_end = on_end
        self._loop = source.loop
        self._reading = False
        self.stopped = False
        self.bytes = 0
        # What is delivered later: (when, bytes). Only a fault puts anything here.
        self.delay_s = 0.0
        self._late: deque[tuple[float, bytes]] = deque()
        self._late_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False

    def start(self) -> None:
        self.stopped = False
        if self._reading:
            return
        try:
            if not self._sink.flush():
                self._loop.add_writer(self._sink.sock, self._writable)
                return
        except OSError:
            self._on_end()
            return
        if self._late and self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._deliver)
        if self._ending or self._late_size > LATE_LIMIT:
            return
        self._reading = True
        self._loop.add_reader(self._source.sock, self._readable)
        if self._source.pending:
            self._loop.call_soon(self._readable)

    def stop(self) -> None:
        self.stopped = True
        self._reading = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._source.closed:
            self._loop.remove_reader(self._source.sock)
        if not self._sink.closed:
            self._loop.remove_writer(self._sink.sock)

    def _readable(self) -> None:
        if not self._reading:
            return
        try:
            buffer = _buffers.plain
            got = self._source.read_into(buffer)
            if not got:
                self._end()
                return
            self.bytes += got
            if self.delay_s or self._late:
                self._postpone(bytes(buffer[:got]))
                return
            if self._sink.send(buffer[:got]):
                if self._source.pending:
                    # The socket will not announce these; let other connections go first.
                    self._loop.call_soon(self._readable)
                return
        except BlockingIOError:
            return
        except OSError:
            self._on_end()
            return
        self._reading = False
        self._loop.remove_reader(self._source.sock)
        self._loop.add_writer(self._sink.sock, self._writable)

    def _end(self) -> None:
        if not self._late:
            self._on_end()
            return
        # What is still to be delivered comes before the end.
        self._ending = True
        self._reading = False
        self._loop.remove_reader(self._source.sock)

    def _postpone(self, data: bytes) -> None:
        self._late.append((self._loop.time() + self.delay_s, data))
        self._late_size += len(data)
        if self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._deliver)
        if self._late_size > LATE_LIMIT:
            self._reading = False
            self._loop.remove_reader(self._source.sock)
        elif self._source.pending:
            self._loop.call_soon(self._readable)

    def _deliver(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._late and self._late[0][0] <= now:
                _, data = self._late.popleft()
                self._late_size -= len(data)
                if not self._sink.send(memoryview(data)):
                    if self._reading:
                        self._reading = False
                        self._loop.remove_reader(self._source.sock)
                    self._loop.add_writer(self._sink.sock, self._writable)
                    return
        except OSError:
            self._on_end()
            return
        if self._ending and not self._late:
            self._on_end()
            return
        self.start()
        if self._late and self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._deliver)

    def _writable(self) -> None:
        try:
            if not self._sink.flush():
                return
        except OSError:
            self._on_end()
            return
        self._loop.remove_writer(self._sink.sock)
        if self._ending and not self._late:
            self._on_end()
        elif not self.stopped:
            self.start()


class Relay:
    """A running relay between two wires; ends both when either ends.

    Args:
        downstream: The wire towards the client.
        upstream: The wire towards the pod.

    Attributes:
        bytes_down: Bytes relayed towards the client.
        bytes_up: Bytes relayed towards the pod.
    """

    def __init__(self, downstream: SocketConnection, upstream: SocketConnection) -> None:
        self.downstream = downstream
        self.upstream = upstream
        self._up = _Pump(downstream, upstream, self.cut)
        self._down = _Pump(upstream, downstream, self.cut)
        self._done: asyncio.Future[None] = downstream.loop.create_future()
        self._up.start()
        self._down.start()

    @property
    def delay_s(self) -> float:
        """Every byte is delivered later by this; what waits for it is bounded."""
        return self._down.delay_s

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        self._up.delay_s = self._down.delay_s = seconds

    @property
    def bytes_down(self) -> int:
        """Bytes relayed towards the client."""
        return self._down.bytes

    @property
    def bytes_up(self) -> int:
        """Bytes relayed towards the pod."""
        return self._up.bytes

    def stall(self) -> None:
        """Move no more bytes, and let nobody notice: what a dead network looks like."""
        self._up.stop()
        self._down.stop()

    def resume(self) -> None:
        """End a `stall`."""
        if not self._done.done():
            self._up.start()
            self._down.start()

    def cut(self) -> None:
        """End both sides now."""
        if self._done.done():
            return
        self._up.stop()
        self._down.stop()
        self.downstream.close()
        self.upstream.close()
        self._done.set_result(None)

    def reset(self) -> None:
        """End both sides now, with a reset instead of an orderly close."""
        if self._done.done():
            return
        self._up.stop()
        self._down.stop()
        self.downstream.abort()
        self.upstream.abort()
        self._done.set_result(None)

    async def wait(self) -> None:
        """Return when the relay has ended; a cancellation ends it."""
        try:
            await asyncio.shield(self._done)
        finally:
            self.cut()
