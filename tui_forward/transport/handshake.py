"""Await an answer on a callback stream: for handshakes, before the data path takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.transport.stream import Buffer, ByteStream

T = TypeVar("T")


class _Exchange(Generic[T]):
    """Handler of a stream for the time of one question and its answer."""

    def __init__(
        self,
        stream: ByteStream,
        feed: Callable[[bytes], T | None],
        eof: Callable[[], None] | None,
        what: str,
    ) -> None:
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._feed = feed
        self._eof = eof
        self._what = what

    def data_received(self, data: memoryview) -> None:
        if self.answer.done():
            return
        try:
            answer = self._feed(bytes(data))
        except TuiForwardError as error:
            self._stream.pause_reading()
            self.answer.set_exception(error)
            return
        if answer is not None:
            self._stream.pause_reading()
            self.answer.set_result(answer)

    def writing_paused(self) -> None:
        pass  # a question is short

    def writing_resumed(self) -> None:
        pass

    def closed(self, error: TransportError | None) -> None:
        if self.answer.done():
            return
        failure: TuiForwardError | None = error
        if failure is None and self._eof is not None:
            try:
                self._eof()
            except TuiForwardError as told:
                failure = told
        self.answer.set_exception(
            failure or TransportError(f"{self._what} closed the connection without an answer")
        )


async def perform_handshake(
    stream: ByteStream,
    question: Buffer,
    feed: Callable[[bytes], T | None],
    *,
    what: str,
    eof: Callable[[], None] | None = None,
) -> T:
    """Send a question and feed what comes to a parser until it has the answer.

    Reading is paused when this returns: what the parser did not use of its last piece is
    the parser's to remember, everything later is still in the stream.

    Args:
        stream: Connected; its handler is replaced.
        question: Bytes to send.
        feed: Takes a piece; returns the answer, or None if it needs more.
        what: Who is asked, for error texts.
        eof: Told of an end of file before the answer; may raise what it means.

    Raises:
        TransportError: The stream ended.
        TuiForwardError: What `feed` or `eof` raised.
    """
    asking: _Exchange[T] = _Exchange(stream, feed, eof, what)
    stream.set_handler(asking)
    stream.write(question)
    stream.resume_reading()
    return await asking.answer
