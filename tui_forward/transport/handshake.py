"""Await a response on a callback stream: for handshakes, before the data path takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.stream import Buffer, ByteStream

T = TypeVar("T")


class _HandshakeHandler(Generic[T]):
    """Handler of a stream between one request and its response."""

    def __init__(
        self,
        stream: ByteStream,
        feed: Callable[[bytes], T | None],
        eof: Callable[[], None] | None,
        label: str,
    ) -> None:
        self.response: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._feed = feed
        self._eof = eof
        self._label = label

    def data_received(self, data: memoryview) -> None:
        if self.response.done():
            return
        try:
            response = self._feed(bytes(data))
        except TuiForwardError as error:
            self._stream.pause_reading()
            self.response.set_exception(error)
            return
        if response is not None:
            self._stream.pause_reading()
            self.response.set_result(response)

    def writing_paused(self) -> None:
        pass  # requests are short

    def writing_resumed(self) -> None:
        pass

    def closed(self, error: TransportError | None) -> None:
        if self.response.done():
            return
        failure: TuiForwardError | None = error
        if failure is None and self._eof is not None:
            try:
                self._eof()
            except TuiForwardError as eof_error:
                failure = eof_error
        self.response.set_exception(
            failure or TransportError(Reason(code=ReasonCode.NETWORK_CLOSED, server=self._label))
        )


def start_handshake(
    stream: ByteStream,
    request: Buffer,
    feed: Callable[[bytes], T | None],
    *,
    label: str,
    eof: Callable[[], None] | None = None,
) -> asyncio.Future[T]:
    """Send a request and return the future of its response; see `perform_handshake`.

    Cancel the future when the response is not needed any more.
    """
    handler: _HandshakeHandler[T] = _HandshakeHandler(stream, feed, eof, label)
    stream.set_handler(handler)
    stream.write(request)
    stream.resume_reading()
    return handler.response


async def perform_handshake(
    stream: ByteStream,
    request: Buffer,
    feed: Callable[[bytes], T | None],
    *,
    label: str,
    eof: Callable[[], None] | None = None,
) -> T:
    """Send a request and feed received bytes to a parser until it returns the response.

    `feed` returns None if it needs more. `eof` is called at an end of file before the response and
    may raise a more precise error than TransportError. Reading is paused when this returns. The
    parser keeps what it did not use of its last piece; everything later is still in the stream,
    whose handler is replaced. `label` is the server in error texts.
    """
    return await start_handshake(stream, request, feed, label=label, eof=eof)
