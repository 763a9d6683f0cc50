"""Filter of the requests that one client of HTTP sends over one connection.

The connection leads to one target, and each request on it is checked and rewritten like the first:
a browser sends requests of several pages over one connection. Answers are not read, except the
first line of one to an upgrade: the protocol that follows is passed on unseen.

Requests in absolute form may go to another host each. Such a request asks its server to close the
connection after the answer, so that the next one comes over a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tui_forward.engine.proxy.pages import refusal_page
from tui_forward.engine.proxy.policy import Refusal
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.http1 import AnswerMonitor, RequestHead, RequestParser

_UPGRADE_FIELDS = (b"upgrade", b"connection", b"http2-settings")


class HttpRequestFilter:
    """Implements `RequestFilter`; `check` returns each later request as it is sent on, or not.

    `parser` has returned the head of the first request, `first`, and nothing else yet.
    """

    def __init__(
        self,
        parser: RequestParser,
        first: RequestHead,
        check: Callable[[RequestHead], RequestHead | Refusal],
    ) -> None:
        self._parser = parser
        self._check = check
        self._monitor = AnswerMonitor() if first.wants_upgrade else None
        self.refusal = b""
        self.passes_all = False

    @property
    def needs_answer(self) -> bool:
        """See `RequestFilter`."""
        return self._monitor is not None

    @property
    def awaits_answer(self) -> bool:
        """See `RequestFilter`."""
        return self.needs_answer and self._parser.is_between_requests

    def receive_data(self, data: Buffer) -> Iterator[Buffer]:
        """See `RequestFilter`."""
        if self.passes_all:
            yield data
            return
        parser = self._parser
        # What is not parsed at once is kept: then it must not be a view of a shared buffer.
        parser.receive_data(bytes(data) if self.needs_answer else data)
        while not (self.awaits_answer or self.refusal):
            part = parser.next_event()
            if part is None:
                break
            yield from self._pass(part)
        if parser.error is not None and not self.refusal:
            self.refusal = refusal_page(Refusal(parser.error_status, str(parser.error)))

    def _pass(self, part: RequestHead | memoryview) -> Iterator[Buffer]:
        if not isinstance(part, RequestHead):
            yield part
            return
        checked = self._check(part)
        if isinstance(checked, Refusal):
            self.refusal = refusal_page(checked, reads_body=part.method != "HEAD")
            return
        if checked.wants_upgrade:
            # Its answer would have to be found among those of the requests before.
            checked = checked.without(_UPGRADE_FIELDS)
        yield checked.encode()

    def receive_answer(self, pieces: list[memoryview]) -> Iterator[Buffer]:
        """See `RequestFilter`."""
        monitor = self._monitor
        assert monitor is not None
        for piece in pieces:
            is_switched = monitor.receive_data(piece)
            if is_switched is None:
                continue
            self._monitor = None
            self.passes_all = is_switched
            yield from self.receive_data(self._parser.take_unparsed())
            return
