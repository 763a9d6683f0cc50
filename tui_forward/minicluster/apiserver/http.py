"""HTTP/1.1 for the API server: requests, whole and streamed responses, upgrades.

This module connects h11 to a `SocketConnection`. An `HttpConnection` serves one client until
either side closes; it handles the client's requests one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import msgspec

from tui_forward.minicluster.apiserver import protobuf
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import JSON, StatusError, bad_request
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import header_values

# The limit of a real API server.
BODY_LIMIT = 3 << 20
# Size of the writes of a large response: one encryption and one system call each.
WRITE_SIZE = 1 << 20

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of a connection."""

    address: str = ""  # its IP address, for `X-Forwarded-For`
    user: str = ""  # common name of its verified certificate, else empty
    groups: tuple[str, ...] = ()  # organizations of its certificate


@dataclass(slots=True)
class Request:
    """A request with its body."""

    method: str
    target: str
    path: str  # decoded path without query
    query: Mapping[str, list[str]]  # decoded parameters; a parameter may repeat
    headers: list[tuple[str, str]]  # headers in order; names are in lower case
    body: bytes
    peer: Peer

    def header(self, name: str) -> str:
        """Return all values of a header, joined by commas."""
        return ", ".join(value for key, value in self.headers if key == name)

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name]

    def list(self, name: str) -> list[str]:
        """Return the elements of a header's comma-separated values."""
        return header_values(self.headers, name)

    def param(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter; all values but `0` and `false` are true, as in Go."""
        return name in self.query and self.param(name).lower() not in ("0", "false")

    def number(self, name: str) -> int:
        """Return a numeric query parameter; 0 if absent."""
        text = self.param(name)
        if not text:
            return 0
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def json(self) -> Object:
        """Return the object in the body, which is JSON or protobuf."""
        if self.body.startswith(protobuf.MAGIC):
            return protobuf.decode(self.body)
        try:
            return msgspec.json.decode(self.body, type=Object)
        except msgspec.MsgspecError as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from None


@dataclass(slots=True)
class Response:
    """A whole response; the pieces of a body are sent without joining them."""

    status: int = 200
    body: bytes | list[bytes] = b""
    content_type: str = JSON
    headers: Headers = ()
    phrase: str = ""  # after the status
    is_foreign: bool = False  # of something in between: without the API server's own headers

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return a JSON response, with the newline that Go's encoder writes."""
        return cls(status, msgspec.json.encode(value) + b"\n")

    @classmethod
    def of_error(cls, error: StatusError) -> Response:
        """Return the response of an error."""
        return cls(error.code, error.body(), error.content_type, error.headers)


@dataclass(slots=True)
class StreamingResponse:
    """A response of unknown length: each item of `chunks` is sent immediately."""

    chunks: AsyncIterator[bytes]
    content_type: str = JSON
    status: int = 200
    headers: Headers = ()
    # Called after the response, even if `chunks` was never iterated.
    on_close: Callable[[], object] | None = None


@dataclass(slots=True)
class Hijack:
    """Hands the connection over to `run`, which owns it until it returns (net/http `Hijacker`).

    Bytes that the client sent after the request are in `SocketConnection.pushed_back`.
    """

    run: Callable[[SocketConnection], Awaitable[None]]


HandlerResult = Response | StreamingResponse | Hijack
Handler = Callable[[Request], Awaitable[HandlerResult]]


@dataclass(eq=False)
class HttpConnection:
    """The connection of one client."""

    transport: SocketConnection
    peer: Peer
    handler: Handler
    is_streaming: bool = False  # whether a `StreamingResponse` is being sent
    is_hijacked: bool = False  # whether a `Hijack` owns the connection
    _http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))

    async def run(self) -> None:
        """Serve until the connection ends; close the transport, also after a cancellation."""
        try:
            while True:
                request = await self._receive_request()
                if request is None:
                    return
                result = await self.handler(request)
                if isinstance(result, Hijack):
                    self.is_hijacked = True
                    await result.run(self.transport)
                    return
                if isinstance(result, StreamingResponse):
                    if not await self._send_stream(result):
                        return
                else:
                    await self._send(result)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (OSError, h11.RemoteProtocolError):
            return  # the client disconnected
        finally:
            self.transport.close()

    async def _receive_request(self) -> Request | None:
        http = self._http
        head: h11.Request | None = None
        body: list[bytes] = []
        size = 0
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError as error:
                await self._send_protocol_error(error)
                return None
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    head_100 = http.send(h11.InformationalResponse(status_code=100, headers=[]))
                    await self.transport.write(head_100 or b"")
                http.receive_data(await self.transport.read())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > BODY_LIMIT:
                    message = f"Request entity too large: limit is {BODY_LIMIT}"
                    too_large = StatusError(413, "RequestEntityTooLarge", message)
                    await self._send(Response.of_error(too_large), close=True)
                    return None
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                if head is None:
                    return None
                return self._to_request(head, b"".join(body))
            else:
                return None  # ConnectionClosed

    def _to_request(self, head: h11.Request, body: bytes) -> Request:
        # The first bytes after an upgrade may have been read with the request.
        trailing, _ = self._http.trailing_data
        if trailing:
            self.transport.pushed_back = bytes(trailing)
        target = head.target.decode("latin-1")
        url = urlsplit(target)
        return Request(
            method=head.method.decode("latin-1"),
            target=target,
            path=unquote(url.path),
            query=parse_qs(url.query, keep_blank_values=True),
            headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers],
            body=body,
            peer=self.peer,
        )

    async def _send_protocol_error(self, error: h11.RemoteProtocolError) -> None:
        with contextlib.suppress(h11.LocalProtocolError, OSError):
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = f"400 Bad Request: {error}".encode()
                response = Response(error.error_status_hint, body, "text/plain; charset=utf-8")
                await self._send(response, close=True)

    async def _send(self, response: Response, *, close: bool = False) -> None:
        pieces = response.body if isinstance(response.body, list) else [response.body]
        size = sum(map(len, pieces))
        if response.is_foreign:
            headers = [("Content-Type", response.content_type), *response.headers]
        else:
            headers = self._common_headers(response.content_type, response.headers)
        headers.append(("Content-Length", str(size)))
        if close or response.is_foreign:
            headers.append(("Connection", "close"))
        status = h11.Response(
            status_code=response.status, headers=headers, reason=response.phrase.encode()
        )
        head = self._http.send(status) or b""
        for piece in _join_small(pieces):
            # h11 only counts the bytes and returns the piece itself.
            http = self._http.send_with_data_passthrough(h11.Data(data=piece)) or []
            await self.transport.write(b"".join((head, *http)))
            head = b""
        if head:
            await self.transport.write(head)
        self._http.send(h11.EndOfMessage())

    async def _send_stream(self, stream: StreamingResponse) -> bool:
        """Send a streaming response; return False if the client has disconnected."""
        headers = self._common_headers(stream.content_type, stream.headers)
        headers.append(("Transfer-Encoding", "chunked"))
        head = self._http.send(h11.Response(status_code=stream.status, headers=headers)) or b""
        try:
            await self.transport.write(head)
            return await self._send_chunks(stream)
        finally:
            await _close_iterator(stream.chunks)
            if stream.on_close is not None:
                stream.on_close()

    async def _send_chunks(self, stream: StreamingResponse) -> bool:
        transport = self.transport
        self.is_streaming = True
        sending = asyncio.ensure_future(self._write_chunks(stream))
        # A client normally sends nothing during a response: a read detects its disconnection.
        reading = asyncio.ensure_future(transport.read())
        try:
            await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                if reading.exception() is not None or not reading.result():
                    return False
                transport.pushed_back = reading.result()  # a pipelined request
                await sending
            sending.result()
            if reading.done() and reading.exception() is None:
                if not reading.result():
                    return False
                transport.pushed_back = reading.result()
            await transport.write(self._http.send(h11.EndOfMessage()) or b"")
            return True
        finally:
            self.is_streaming = False
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)

    async def _write_chunks(self, stream: StreamingResponse) -> None:
        async for chunk in stream.chunks:
            if chunk:
                await self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    @staticmethod
    def _common_headers(content_type: str, more: Headers) -> list[tuple[str, str]]:
        headers = [
            ("Audit-Id", str(uuid.uuid4())),
            ("Cache-Control", "no-cache, private"),
            ("Date", formatdate(time.time(), usegmt=True)),
        ]
        if content_type:
            headers.append(("Content-Type", content_type))
        return [*headers, *more]


def _join_small(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Join small pieces up to `WRITE_SIZE`."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        if batch and size + len(piece) > WRITE_SIZE:
            yield b"".join(batch)
            batch, size = [], 0
        if piece:
            batch.append(piece)
            size += len(piece)
    if batch:
        yield b"".join(batch)


async def _close_iterator(chunks: AsyncIterator[bytes]) -> None:
    closing = getattr(chunks, "aclose", None)
    if closing is not None:
        with contextlib.suppress(Exception):  # cleanup errors do not matter after the response
            await closing()
