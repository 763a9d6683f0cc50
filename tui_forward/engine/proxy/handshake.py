"""First bytes of a client: which protocol it speaks, and where it wants to be connected. No I/O.

One port speaks SOCKS5, HTTP CONNECT, HTTP in absolute form, and HTTP to `NAME[.PORT].localhost`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tui_forward.engine.connections.proxy_client import RequestFilter
from tui_forward.engine.proxy.pages import error_page, refusal_page, reply_code
from tui_forward.engine.proxy.policy import Refusal
from tui_forward.engine.proxy.request_filter import HttpRequestFilter
from tui_forward.engine.proxy.requests import (
    AcceptedRequest,
    ConnectTunnel,
    Destination,
    PacRequest,
    RequestRules,
)
from tui_forward.model import Reason
from tui_forward.protocol.http1 import RequestHead, RequestParser
from tui_forward.protocol.socks5 import VERSION, ReplyCode, Socks5Server, encode_reply

_CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_LOGIN_FIELDS: Final = ((b"Proxy-Authenticate", b'Basic realm="tui-forward proxy"'),)


class ClientHandshake:
    """Reads one client until it has named its destination; then it is its `ProxyClient`.

    After `receive_data`, send `data_to_send`. Then at most one of these is set: `destination`;
    `wants_pac`; `is_over`, to close the connection. A client that names its destination before it
    has read an answer gets all of them at once, when the connection is open or has failed.
    """

    # Defaults, which most clients keep.
    destination: Destination | None = None
    wants_pac = False
    is_over = False
    refusal = ""  # why it is over; empty if a client has just left
    first_data = b""  # see `ProxyClient`
    request_filter: RequestFilter | None = None  # see `ProxyClient`
    _socks: Socks5Server | None = None
    _parser: RequestParser | None = None
    _output = b""
    _reads_body = True
    _is_tunnel = True  # the client waits for a word before it sends data
    _is_opened = False

    def __init__(self, rules: RequestRules) -> None:
        self._rules = rules
        # Returns the reason of the target's state, once there is a target.
        self.target_reason: Callable[[], Reason | None] = _unknown_reason

    @property
    def is_done(self) -> bool:
        """Whether nothing more is read."""
        return self.destination is not None or self.wants_pac or self.is_over

    def data_to_send(self) -> bytes:
        """Return what is to be sent to the client now, once."""
        return self._take_output() if self.destination is None else b""

    def _take_output(self) -> bytes:
        output, self._output = self._output, b""
        return output

    def receive_data(self, data: bytes) -> None:
        """Process what the client has sent; empty for its end of file."""
        if not data:
            self.is_over = True
            return
        if self._socks is None and self._parser is None:
            if data[0] == VERSION:
                credentials = self._rules.credentials
                self._socks = Socks5Server(credentials.are_valid if credentials else None)
            else:
                self._parser = RequestParser()
        if self._socks is not None:
            self._receive_socks(self._socks, data)
        else:
            assert self._parser is not None
            self._receive_http(self._parser, data)

    def _receive_socks(self, socks: Socks5Server, data: bytes) -> None:
        socks.receive_data(data)
        self._output += socks.data_to_send()
        if socks.error is not None:
            self.is_over, self.refusal = True, str(socks.error)
        elif socks.request is not None:
            self.first_data = socks.trailing_data
            self.destination = Destination(socks.request.host, str(socks.request.port))

    def _receive_http(self, parser: RequestParser, data: bytes) -> None:
        parser.receive_data(data)
        head = parser.next_event()
        if parser.error is not None:
            self._refuse(Refusal(parser.error_status, str(parser.error)))
        elif isinstance(head, RequestHead):
            self._reads_body = head.method != "HEAD"
            accepted = self._rules.accept(head)
            if isinstance(accepted, Refusal):
                self._refuse(accepted)
            elif isinstance(accepted, PacRequest):
                self.wants_pac = True
            elif isinstance(accepted, ConnectTunnel):
                self.first_data = parser.take_unparsed()
                self.destination = accepted.destination
            else:
                self._serve_requests(parser, accepted)

    def _serve_requests(self, parser: RequestParser, first: AcceptedRequest) -> None:
        def check(head: RequestHead) -> RequestHead | Refusal:
            accepted = self._rules.accept(head)
            if isinstance(accepted, Refusal):
                return accepted
            if isinstance(accepted, AcceptedRequest) and accepted.destination == first.destination:
                return accepted.head
            return Refusal(
                421, "this connection leads to another host", "Use another connection for it"
            )

        self._is_tunnel = False
        self.destination = first.destination
        self.first_data = first.head.encode()
        self.request_filter = HttpRequestFilter(parser, first.head, check)

    def _refuse(self, refusal: Refusal) -> None:
        headers = _LOGIN_FIELDS if refusal.status == 407 else ()
        self._output += refusal_page(refusal, headers=headers, reads_body=self._reads_body)
        self.is_over, self.refusal = True, refusal.cause

    # ProxyClient ----------------------------------------------------------------------

    def opened(self) -> bytes:
        """See `ProxyClient`."""
        self._is_opened = True
        if self._socks is not None:
            return self._take_output() + encode_reply(ReplyCode.SUCCEEDED)
        return _CONNECTED if self._is_tunnel else b""

    def failed(self, reason: Reason) -> bytes:
        """See `ProxyClient`."""
        if self._is_tunnel and self._is_opened:
            return b""
        if self._socks is not None:
            return self._take_output() + encode_reply(reply_code(reason))
        return error_page(
            str(self.destination),
            reason,
            waits_for=self.target_reason(),
            reads_body=self._reads_body,
        )


def _unknown_reason() -> Reason | None:
    return None
