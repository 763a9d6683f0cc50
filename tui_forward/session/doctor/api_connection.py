"""Requests to an API server over connections of the doctor's own, with their times.

The requests of the program go through a pool that repeats and redirects; here one answer is wanted
as it was sent, with its headers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import h11
import msgspec

from tui_forward.errors import ProtocolError, TransportError, TuiForwardError
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.errors import to_api_error, unexpected_response_error
from tui_forward.model import Reason, ReasonCode
from tui_forward.session.doctor.trace import Trace
from tui_forward.transport import ByteStream, Endpoint, connect
from tui_forward.transport.handshake import perform_handshake

_MAX_OBJECTS: Final = 500
USER_AGENT: Final = "tui-forward"
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_LABEL: Final = "the API server"


class _List(msgspec.Struct):
    items: msgspec.Raw = msgspec.Raw(b"[]")  # of an array, or null


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer as it was received."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    duration_s: float
    received_at: float  # epoch seconds of this machine

    @property
    def is_success(self) -> bool:
        """Whether the request was granted."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str:
        """Return the first header of a name in lower case; empty without one."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def error(self, what: str, server: str) -> TuiForwardError:
        """Return the error for an answer that is no success."""
        return to_api_error(self.status, self.body, what=what, server=server, headers=self.headers)


class ApiConnection:
    """One connection at a time to an API server, kept open between requests.

    `headers` authenticate each request. `close` it at the end.
    """

    def __init__(
        self, endpoint: Endpoint, headers: Mapping[str, str], *, timeout_s: float, trace: Trace
    ) -> None:
        self.endpoint = endpoint
        self._headers = headers
        self._timeout_s = timeout_s
        self._trace = trace
        self._stream: ByteStream | None = None
        self._lock = asyncio.Lock()  # one request at a time

    def adopt(self, stream: ByteStream) -> None:
        """Use a connection that is open already."""
        self._stream = stream

    def close(self) -> None:
        """Close the connection. Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

    async def get(
        self, path: str, what: str, decode: Callable[[bytes], Any] = lambda body: body
    ) -> Any:
        """Return the decoded body of a GET. Raises ApiError, AuthError, TransportError."""
        answer = await self.request("GET", path)
        return self._decode(answer, what, decode)

    @property
    def server(self) -> str:
        """Host and port of the API server, for texts."""
        return self.endpoint.authority

    async def list(
        self, resource: Resource[Item], namespace: str, what: str, **parameters: str
    ) -> tuple[Item, ...]:
        """Return the first objects of a list, at most `_MAX_OBJECTS`; raises as `get`."""
        query = urlencode({**parameters, "limit": str(_MAX_OBJECTS)})
        path = f"{resource.path(namespace)}?{query}"

        def decode(body: bytes) -> tuple[Item, ...]:
            items = msgspec.json.decode(body, type=_List).items
            if bytes(items) == b"null":
                return ()
            return tuple(map(resource.convert, resource.list_decoder.decode(items)))

        found: tuple[Item, ...] = await self.get(path, what, decode)
        return found

    async def post(self, target: str, what: str, body: bytes) -> bytes:
        """Return the body of the answer to a POST of JSON; raises as `get`."""
        answer = await self.request("POST", target, body=body)
        content: bytes = self._decode(answer, what, bytes)
        return content

    def _decode(self, answer: ApiAnswer, what: str, decode: Callable[[bytes], Any]) -> Any:
        server = self.endpoint.authority
        if not answer.is_success:
            raise answer.error(what, server)
        try:
            return decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, server, error) from error

    async def request(self, method: str, path: str, *, body: bytes = b"") -> ApiAnswer:
        """Send a request and return its answer, whatever its status.

        A connection that was closed meanwhile is opened again once. Raises TransportError or
        ProtocolError, within the time limit; it begins when earlier requests have ended.
        """
        async with self._lock:
            return await self._request(method, path, body)

    async def _request(self, method: str, path: str, body: bytes) -> ApiAnswer:
        server = self.endpoint.authority
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._stream is not None:
                    try:
                        return await self._exchange(self._stream, method, path, body)
                    except TransportError as error:
                        if error.code not in (ReasonCode.NETWORK_CLOSED, ReasonCode.NETWORK_RESET):
                            raise
                        self.close()
                self._stream = await connect(self.endpoint, timeout_s=self._timeout_s)
                return await self._exchange(self._stream, method, path, body)
        except TimeoutError:
            self.close()
            reason = Reason(
                code=ReasonCode.NETWORK_TIMEOUT, server=server, timeout_s=self._timeout_s
            )
            raise TransportError(reason) from None
        except TuiForwardError:
            self.close()
            raise

    async def _exchange(self, stream: ByteStream, method: str, path: str, body: bytes) -> ApiAnswer:
        target = self.endpoint.path_prefix + path
        headers = [
            ("Host", self.endpoint.authority),
            *self._headers.items(),
            ("User-Agent", USER_AGENT),
            ("Accept", "application/json"),
        ]
        if body:
            headers += [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ]
        exchange = _Exchange(method, target, headers, body)
        self._trace.record_headers("request", f"{method} {target}", headers)
        started = time.monotonic()
        try:
            await perform_handshake(
                stream, exchange.sent, exchange.receive, label=_LABEL, eof=exchange.receive_end
            )
        except TransportError as error:
            if not exchange.is_complete:
                self._trace.record("no answer", code=error.code.value, text=error.message)
                raise
        answer = exchange.answer(time.monotonic() - started)
        self._trace.record_headers(
            "answer", f"{answer.status}", answer.headers, bytes=len(answer.body),
            duration_ms=round(answer.duration_s * 1000, 1),
        )  # fmt: skip
        if not exchange.can_be_reused:
            self.close()
        return answer


class _Exchange:
    """One request and its response, without I/O."""

    def __init__(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._response: h11.Response | None = None
        self._body = bytearray()
        self.is_complete = False
        try:
            request = h11.Request(method=method, target=target, headers=headers)
            sent = [self._http.send(request)]
            if body:
                sent.append(self._http.send(h11.Data(data=body)))
            sent.append(self._http.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            # h11 quotes the value, which may be a token.
            raise ProtocolError(
                "the request cannot be encoded: a header has a character that HTTP does not allow"
            ) from None
        self.sent = b"".join(one or b"" for one in sent)

    def receive(self, chunk: bytes) -> bool | None:
        """Process bytes of the response; True once it is complete."""
        try:
            self._http.receive_data(chunk)
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return None
                if isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > _MAX_BODY_BYTES:
                        raise ProtocolError("the answer has more bytes than are accepted")
                elif isinstance(event, h11.EndOfMessage):
                    self.is_complete = True
                    return True
        except h11.RemoteProtocolError as error:
            reason = Reason(code=ReasonCode.NETWORK_PROTOCOL, detail=str(error)[:200])
            raise ProtocolError(reason) from error

    def receive_end(self) -> None:
        """Process the end of the connection, which may be that of the body."""
        if self._response is not None:
            self.receive(b"")

    @property
    def can_be_reused(self) -> bool:
        """Whether another request may follow on the connection."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def answer(self, duration_s: float) -> ApiAnswer:
        """Return the complete response."""
        assert self._response is not None
        return ApiAnswer(
            status=self._response.status_code,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in self._response.headers
            ),
            body=bytes(self._body),
            duration_s=duration_s,
            received_at=time.time(),
        )


def is_forbidden(error: TuiForwardError) -> bool:
    """Return whether the API server does not allow a request to the user."""
    return getattr(error, "status", 0) == HTTPStatus.FORBIDDEN
