"""TLS over any byte stream, with OpenSSL working in memory.

Measured against asyncio's TLS transport and against non-blocking `SSLSocket`: in-memory
BIOs with shared buffers need the least CPU per byte in both directions, because a read
takes many records from the kernel at once and a write leaves in one piece. It also makes
TLS inside TLS (a proxy reached by https) the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.socket_stream import READ_SIZE
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler, shared_buffer
from tui_forward.transport.tls_errors import describe_tls_error

# Bytes given to OpenSSL at a time. Its buffers grow to this and never shrink, so it bounds
# the memory of an idle tunnel; it is also small enough to stay in the processor's cache.
_FEED_BYTES = 64 * 1024
_RECORD_BYTES = 16 * 1024  # the largest TLS record (RFC 8446, section 5.1)


class TlsStream(ByteStream):
    """Client side of TLS over a connected stream, which it owns.

    `server_hostname` is for SNI and verification. `role` is the name of the shared buffer; nested
    streams need different ones.
    """

    def __init__(
        self,
        inner: ByteStream,
        context: ssl.SSLContext,
        server_hostname: str | None,
        *,
        role: str = "tls",
    ) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._server_hostname = server_hostname or ""
        self._plain = shared_buffer(role, READ_SIZE + 4 * _RECORD_BYTES)
        self._handler: StreamHandler | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._reading = False
        self._ended = False  # no more bytes are delivered or sent
        self._error: TransportError | None = None
        self._closed = False
        inner.set_handler(self)

    async def handshake(self) -> None:
        """Exchange keys and verify the server's certificate. Call once, before anything else.

        Canceling leaves the stream unusable: abort it. Raises TransportError.
        """
        self._handshake = self._loop.create_future()
        self._advance_handshake()
        self._inner.resume_reading()
        try:
            await self._handshake
        finally:
            self._handshake = None

    @property
    def version(self) -> str:
        """The version in use ("TLSv1.3"); empty before the end of the handshake."""
        return self._tls.version() or ""

    @property
    def certificate(self) -> Mapping[str, Any]:
        """What `ssl` decodes of the server's certificate; empty if it was not verified."""
        return self._tls.getpeercert() or {}

    @property
    def certificate_der(self) -> bytes:
        """The server's certificate, verified or not; empty without one."""
        return self._tls.getpeercert(binary_form=True) or b""

    @property
    def certificate_count(self) -> int | None:
        """How many certificates the server has sent; None where that is not known."""
        # Public since Python 3.13.
        private = getattr(self._tls, "_sslobj", None)
        sent = getattr(self._tls, "get_unverified_chain", None) or getattr(
            private, "get_unverified_chain", None
        )
        return len(sent() or ()) if sent is not None else None

    @property
    def write_buffer_size(self) -> int:
        """See `ByteStream`."""
        return self._inner.write_buffer_size

    def set_handler(self, handler: StreamHandler) -> None:
        """See `ByteStream`."""
        self._handler = handler
        if self._closed:
            self._loop.call_soon(handler.closed, self._error)

    def resume_reading(self) -> None:
        """See `ByteStream`."""
        if self._reading or self._ended:
            return
        self._reading = True
        if self._incoming.pending or self._tls.pending():
            self._loop.call_soon(self._deliver_pending)
        else:
            self._inner.resume_reading()

    def pause_reading(self) -> None:
        """See `ByteStream`."""
        if self._reading:
            self._reading = False
            self._inner.pause_reading()

    def write(self, data: Buffer) -> None:
        """See `ByteStream`."""
        if self._ended:
            return
        try:
            self._encrypt(data)
        except ssl.SSLError as error:
            self._fail(describe_tls_error(error, self._server_hostname))
            return
        # One write for all records.
        self._inner.write(self._outgoing.read())

    def writelines(self, parts: Sequence[Buffer]) -> None:
        """See `ByteStream`; copies at most the first record."""
        if self._ended:
            return
        if len(parts) == 2 and len(parts[1]) > _RECORD_BYTES:
            # The usual case: a frame head and a long payload. A head in a record of its own
            # would cost a separate write on every hop.
            head, payload = parts
            view = memoryview(payload)
            cut = _RECORD_BYTES - len(head)
            try:
                self._encrypt(b"".join((head, view[:cut])))
            except ssl.SSLError as error:
                self._fail(describe_tls_error(error, self._server_hostname))
                return
            self.write(view[cut:])
        else:
            super().writelines(parts)

    def _encrypt(self, data: Buffer) -> None:
        sent = self._tls.write(data)
        while sent < len(data):  # some OpenSSL versions write one record at a time
            sent += self._tls.write(memoryview(data)[sent:])

    def close(self) -> None:
        """See `ByteStream`."""
        if self._ended:
            return
        self._ended = True
        self._reading = False
        # An error is the usual case: our close_notify is written, the peer's has not arrived.
        # It is not awaited, since no data follows it.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._inner.write(self._outgoing.read())
        self._inner.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        self._ended = True
        self._reading = False
        self._inner.abort()

    # StreamHandler of the inner stream.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        if self._ended:
            return
        if not self._reading:
            # During the handshake.
            self._incoming.write(data)
            if self._handshake is not None and not self._handshake.done():
                self._advance_handshake()
            return
        filled = 0
        for start in range(0, len(data), _FEED_BYTES):
            self._incoming.write(data[start : start + _FEED_BYTES])
            filled = self._decrypt(filled)
        self._deliver(filled)

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        if self._handler is not None and not self._ended:
            self._handler.writing_paused()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        if self._handler is not None and not self._ended:
            self._handler.writing_resumed()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        self._ended = True
        self._reading = False
        self._closed = True
        if self._error is None:
            self._error = error
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(
                self._error or TransportError(Reason(code=ReasonCode.NETWORK_TLS_CLOSED))
            )
        if self._handler is not None:
            self._handler.closed(self._error)

    def _advance_handshake(self) -> None:
        assert self._handshake is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._inner.write(self._outgoing.read())
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            # The alert with the reason, for the server.
            self._inner.write(self._outgoing.read())
            self._handshake.set_exception(describe_tls_error(error, self._server_hostname))
            return
        self._inner.write(self._outgoing.read())
        # What follows, bytes or an end of file, waits for a handler; bytes that arrived with
        # the handshake are in the BIO.
        self._inner.pause_reading()
        self._handshake.set_result(None)

    def _decrypt(self, filled: int) -> int:
        """Decrypt the content of the BIO behind the first `filled` bytes of the shared buffer.

        Returns the number of bytes in the buffer: a whole chunk is delivered at once, so that
        its parser runs as rarely as possible.
        """
        plain = self._plain
        size = len(plain)
        read = self._tls.read
        try:
            while not self._ended:
                if size - filled < _RECORD_BYTES:
                    # One read from the kernel never holds this much.
                    self._deliver(filled)
                    filled = 0
                count = read(size - filled, plain[filled:])
                if not count:  # close_notify
                    self._deliver(filled)
                    self._end()
                    return 0
                filled += count  # type: ignore[operator]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._deliver(filled)
            self._fail(describe_tls_error(error, self._server_hostname))
            return 0
        # A key update may have produced a response.
        if self._outgoing.pending and not self._ended:
            self._inner.write(self._outgoing.read())
        return filled

    def _deliver(self, count: int) -> None:
        if count and self._handler is not None and not self._ended:
            self._handler.data_received(self._plain[:count])

    def _deliver_pending(self) -> None:
        if self._reading:
            self._deliver(self._decrypt(0))
            self._resume_inner()

    def _resume_inner(self) -> None:
        if self._reading:
            self._inner.resume_reading()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._reading = False
            self._inner.close()

    def _fail(self, error: TransportError) -> None:
        if not self._ended:
            self._ended = True
            self._reading = False
            self._error = error
            self._inner.abort()
