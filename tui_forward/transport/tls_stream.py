"""TLS over any byte stream, by OpenSSL in memory.

Measured against asyncio's TLS transport and against non-blocking `SSLSocket`: in-memory
BIOs with shared buffers need the least CPU per byte in both directions, because a read
takes many records from the kernel at once and a write leaves in one piece. It also makes
TLS inside TLS (a proxy reached by https) the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from tui_forward.errors import TransportError
from tui_forward.transport.socket_stream import READ_SIZE
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler, shared_buffer

# What is fed to OpenSSL at a time. Its buffers grow to this and never shrink, so it bounds
# the memory of an idle tunnel; it is also small enough to stay in the processor's cache.
_FEED = 64 * 1024
_RECORD = 16 * 1024


class TlsStream(ByteStream):
    """The client's side of TLS over `inner`.

    Args:
        inner: A connected stream; owned from now on.
        context: Trust and client certificate; decides about verification.
        server_hostname: For SNI and verification.
        role: Streams that can be one inside the other need different roles.
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
        self._plain = shared_buffer(role, READ_SIZE + 4 * _RECORD)
        self._handler: StreamHandler | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._reading = False
        self._ended = False  # nothing is delivered or sent any more
        self._error: TransportError | None = None
        self._closed = False
        inner.set_handler(self)

    async def handshake(self) -> None:
        """Agree on keys and check the peer's certificate. Call once, before anything else.

        Cancelling it leaves the stream unusable: abort it.

        Raises:
            TransportError: The peer is not who it should be, does not speak TLS, or left.
        """
        self._handshake = self._loop.create_future()
        self._advance_handshake()
        self._inner.resume_reading()
        try:
            await self._handshake
        finally:
            self._handshake = None

    @property
    def alpn(self) -> str | None:
        """The application protocol agreed on, if any."""
        return self._tls.selected_alpn_protocol()

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
            self._loop.call_soon(self._deliver_held)
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
        # However long it is, it leaves in one piece.
        self._inner.write(self._outgoing.read())

    def writelines(self, parts: Sequence[Buffer]) -> None:
        """See `ByteStream`; copies no more than fills the first record."""
        if self._ended:
            return
        if len(parts) == 2 and len(parts[1]) > _RECORD:
            # The usual case: a frame head and a long payload. A head in a record of its own
            # would be a write of its own on every hop.
            head, payload = parts
            view = memoryview(payload)
            cut = _RECORD - len(head)
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
        while sent < len(data):  # some versions write one record at a time
            sent += self._tls.write(memoryview(data)[sent:])

    def close(self) -> None:
        """See `ByteStream`."""
        if self._ended:
            return
        self._ended = True
        self._reading = False
        # An error is the usual case: our close_notify is written, the peer's has not come.
        # We do not wait for it, since nothing that matters can follow.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._inner.write(self._outgoing.read())
        self._inner.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        self._ended = True
        self._reading = False
        self._inner.abort()

    # What the inner stream calls.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        if self._ended:
            return
        if not self._reading:
            # The handshake.
            self._incoming.write(data)
            if self._handshake is not None and not self._handshake.done():
                self._advance_handshake()
            return
        filled = 0
        for start in range(0, len(data), _FEED):
            self._incoming.write(data[start : start + _FEED])
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
                self._error
                or TransportError(
                    "the server closed the connection during the TLS handshake",
                    hint="Check that the address and the port are those of a TLS server.",
                )
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
            # The alert that tells the server why we leave.
            self._inner.write(self._outgoing.read())
            self._handshake.set_exception(describe_tls_error(error, self._server_hostname))
            return
        self._inner.write(self._outgoing.read())
        # Everything behind it waits for a handler, an end of file as well as bytes: those
        # that came along are in the BIO.
        self._inner.pause_reading()
        self._handshake.set_result(None)

    def _decrypt(self, filled: int) -> int:
        """Decrypt what the BIO holds behind `filled` bytes that wait in the shared buffer.

        Returns how many wait there now: all of a chunk, so that whoever parses it sees as
        much as possible at once.
        """
        plain = self._plain
        size = len(plain)
        read = self._tls.read
        try:
            while not self._ended:
                if size - filled < _RECORD:
                    # Cannot happen with what one read from the kernel brings.
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
        # A key update may have produced an answer.
        if self._outgoing.pending and not self._ended:
            self._inner.write(self._outgoing.read())
        return filled

    def _deliver(self, count: int) -> None:
        if count and self._handler is not None and not self._ended:
            self._handler.data_received(self._plain[:count])

    def _deliver_held(self) -> None:
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


_VERIFY_WORDS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself and not trusted",
    19: "is signed by a certificate authority that is not trusted",
    20: "is signed by a certificate authority that is not trusted",
    21: "is signed by a certificate authority that is not trusted",
    23: "has been revoked",
    26: "is not meant for a server",
}
_NAME_MISMATCH = {62, 64}


def describe_tls_error(error: ssl.SSLError, server_hostname: str) -> TransportError:
    """What went wrong in TLS, in words.

    Args:
        error: What OpenSSL said.
        server_hostname: The name that was to be verified.
    """
    described = _describe(error, server_hostname)
    described.__cause__ = error
    return described


def _describe(error: ssl.SSLError, name: str) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_MISMATCH:
            return TransportError(
                f"the certificate of the server is not for {name!r}: {error.verify_message}",
                hint="Set tls-server-name in the kubeconfig to a name in the certificate, "
                "or use an address that is in it.",
            )
        words = _VERIFY_WORDS.get(error.verify_code, f"was rejected: {error.verify_message}")
        if error.verify_code in (9, 10):
            hint = "Check the clock of this machine, and renew the server's certificate."
        else:
            hint = (
                "Set certificate-authority in the kubeconfig to the authority that signed it "
                "(a proxy that opens TLS needs its own authority there)."
            )
        return TransportError(f"the certificate of {name!r} {words}", hint=hint)
    # Errors that do not come from OpenSSL's own list have no reason.
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if reason in ("wrong version number", "http request", "record layer failure"):
        return TransportError(
            "the server does not speak TLS on this port",
            hint="Check the server URL in the kubeconfig: http:// or another port may be meant.",
        )
    if "alert" in reason and "certificate" in reason:
        return TransportError(
            f"the server refused the client certificate ({reason})",
            hint="Log in again, or renew the client certificate in the kubeconfig.",
        )
    if "alert unknown ca" in reason:
        return TransportError(
            "the server does not trust the authority of the client certificate",
            hint="Log in again, or renew the client certificate in the kubeconfig.",
        )
    text = reason or str(error)
    return TransportError(f"TLS failed: {text}")
