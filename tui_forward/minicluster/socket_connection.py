"""Non-blocking sockets, plain or TLS, for the servers of the embedded cluster.

API server and kubelet stand between a client and the pod, so each byte passes them twice.
Connections therefore read in large chunks into two buffers that all connections of a thread share
(what is read is encrypted, sent or copied before anything else runs, so a thousand idle tunnels
need no memory), and feed OpenSSL through memory BIOs: a chunk of 256 KiB costs one system call
instead of sixteen records with two reads each.

This module handles bytes and sockets only, no HTTP. It needs an event loop with `add_reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import cast

CHUNK = 256 * 1024
"""Bytes per read; large enough to make the cost per system call negligible."""

_TLS_RECORD = 16 * 1024

AddCallback = Callable[[socket.socket, Callable[[], None]], None]
RemoveCallback = Callable[[socket.socket], bool]


class _Buffers(threading.local):
    """Read buffers shared by the connections of a thread: ciphertext and plaintext."""

    def __init__(self) -> None:
        self.ciphertext = memoryview(bytearray(CHUNK))
        self.plaintext = memoryview(bytearray(CHUNK))


_buffers = _Buffers()


class SocketConnection:
    """A connected non-blocking socket, with or without TLS.

    It has two interfaces, of which only one may be in use per direction at a time: coroutines
    (`read`, `write`, `start_tls`) for handshakes and headers, and non-blocking calls
    (`read_into`, `send`, `flush`) with the loop's `add_reader` and `add_writer` for bulk data.
    All raise `OSError` (or `ssl.SSLError`) when the connection breaks. A connection belongs to
    one event loop and is not thread-safe.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.tls: ssl.SSLObject | None = None  # the TLS session after `start_tls`, else None
        self.closed = False
        self.pushed_back = b""  # bytes that the next read returns before those of the socket
        self._eof = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ciphertext = memoryview(b"")
        self._plain_tail = memoryview(b"")

    # -- coroutines: handshakes and headers --

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Perform the TLS handshake.

        Not cancellation-safe: after a cancellation only `abort` is possible.

        Raises `ssl.SSLError`: the handshake failed; `OSError`: the connection broke.
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
                # The outgoing BIO holds the alert that reports the cause to the peer.
                with contextlib.suppress(OSError):
                    self._ciphertext = memoryview(self._outgoing.read())
                    self.flush()
                raise
            else:
                break
        self.tls = tls
        await self._flush_all()

    def peer_names(self) -> dict[str, list[str]]:
        """Return the subject of the peer's certificate by attribute, empty without one."""
        certificate = self.tls.getpeercert() if self.tls is not None else None
        names: dict[str, list[str]] = {}
        # The subject is a sequence of RDNs, each a sequence of (attribute, value).
        subject = (certificate or {}).get("subject", ())
        for rdn in cast("tuple[tuple[tuple[str, str], ...], ...]", subject):
            for attribute, value in rdn:
                names.setdefault(attribute, []).append(value)
        return names

    async def read(self, limit: int = 65536) -> bytes:
        """Read at least one byte; empty at end of file. Cancellation-safe."""
        if self.pushed_back:
            data, self.pushed_back = self.pushed_back[:limit], self.pushed_back[limit:]
            return data
        view = _buffers.plaintext[:limit]
        while True:
            try:
                return bytes(view[: self.read_into(view)])
            except BlockingIOError:
                await self._wait_ready(self.loop.add_reader, self.loop.remove_reader)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`."""
        if not self.send(memoryview(data)):
            await self._drain()

    async def _drain(self) -> None:
        while not self.flush():
            await self._wait_ready(self.loop.add_writer, self.loop.remove_writer)

    async def _flush_all(self) -> None:
        if self._outgoing.pending:
            self._ciphertext = memoryview(self._outgoing.read())
        await self._drain()

    async def _wait_ready(self, add: AddCallback, remove: RemoveCallback) -> None:
        if self.closed:
            raise ConnectionAbortedError("the connection was closed")
        await wait_ready(self.sock, add, remove)

    # -- non-blocking calls: bulk data --

    def read_into(self, view: memoryview) -> int:
        """Read the bytes available now into `view` and return their number; 0 at end of file.

        A result shorter than `view` means that the socket is drained and the caller may wait
        for readiness. After a full read, check `pending` first.

        Raises `BlockingIOError`: no bytes are available yet; `OSError`: the connection broke.
        """
        if self.pushed_back:
            first = self.pushed_back[: len(view)]
            view[: len(first)] = first
            self.pushed_back = self.pushed_back[len(first) :]
            return len(first)
        if self.tls is None:
            return self.sock.recv_into(view)
        return self._read_tls(self.tls, view)

    def _read_tls(self, tls: ssl.SSLObject, view: memoryview) -> int:
        ciphertext = _buffers.ciphertext
        filled = 0
        size = len(view)
        while True:
            try:
                while filled < size:
                    count = tls.read(size - filled, view[filled:])
                    if not count:  # close_notify
                        self._eof = True
                        return filled
                    filled += int(count)
                return filled
            except ssl.SSLWantReadError:
                # OpenSSL may have queued a reply to the peer (key update) in the outgoing BIO.
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
                received = self.sock.recv_into(ciphertext)
            except BlockingIOError:
                if filled:
                    return filled
                raise
            if not received:
                # Go reports an end of file without close_notify as an error; a relay ends in
                # both cases.
                self._eof = True
                return filled
            self._incoming.write(ciphertext[:received])

    @property
    def pending(self) -> bool:
        """Whether data may be buffered that the socket's readiness does not signal."""
        return bool(self.pushed_back) or (
            # An end of file read together with the last bytes is not signaled either.
            self.tls is not None
            and (self._eof or self._incoming.pending > 0 or self.tls.pending() > 0)
        )

    def send(self, view: memoryview) -> bool:
        """Send `view`; return False if a remainder waits for `flush`.

        The caller must not send again until `flush` has returned True. It may reuse the memory
        of `view` at once: the remainder is a copy.
        """
        if self.tls is not None:
            written = 0
            while written < len(view):
                written += self.tls.write(view[written:])
            self._ciphertext = memoryview(self._outgoing.read())
            return self.flush()
        self._plain_tail = view
        if self.flush():
            return True
        self._plain_tail = memoryview(bytes(self._plain_tail))
        return False

    def flush(self) -> bool:
        """Send the remainder of an earlier `send`; return True when none is left."""
        while True:
            use_tls = self.tls is not None or bool(self._ciphertext)
            unsent = self._ciphertext if use_tls else self._plain_tail
            while unsent:
                try:
                    sent = self.sock.send(unsent)
                except BlockingIOError:
                    self._set_unsent(unsent)
                    return False
                unsent = unsent[sent:]
            self._set_unsent(memoryview(b""))
            if not self._outgoing.pending:
                return True
            self._ciphertext = memoryview(self._outgoing.read())

    def _set_unsent(self, unsent: memoryview) -> None:
        if self.tls is not None or self._ciphertext:
            self._ciphertext = unsent
        else:
            self._plain_tail = unsent

    # -- closing --

    def close(self) -> None:
        """Close gracefully: close_notify if TLS is up, then FIN. Never blocks or raises."""
        if self.closed:
            return
        if self.tls is not None and not self._ciphertext:
            with contextlib.suppress(OSError, ValueError):
                with contextlib.suppress(ssl.SSLError):
                    self.tls.unwrap()  # does not wait for the peer's close_notify
                self._ciphertext = memoryview(self._outgoing.read())
                self.flush()
        self._release()

    def abort(self) -> None:
        """Close immediately with a reset."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            self.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        self._release()

    def _release(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError, ValueError):
            self.loop.remove_reader(self.sock)
            self.loop.remove_writer(self.sock)
        self.sock.close()
        self._ciphertext = self._plain_tail = memoryview(b"")


async def wait_ready(sock: socket.socket, add: AddCallback, remove: RemoveCallback) -> None:
    """Wait with the loop's `add_reader` and `remove_reader`, or the two of writers."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    add(sock, wake)
    try:
        await waiter
    finally:
        if sock.fileno() >= 0:  # else it has been closed meanwhile
            remove(sock)


async def connect(host: str, port: int) -> SocketConnection:
    """Connect to an IP address and port. Raises `OSError`: the connection failed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return SocketConnection(sock)
