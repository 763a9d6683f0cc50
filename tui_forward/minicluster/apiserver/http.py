"""HTTP/1.1 as the API server needs it: requests in, whole or streamed answers out, upgrades.

h11 parses; this module joins it to a `Wire`. One `Connection` serves one client until either
side closes; requests on it are answered one after the other.
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
from tui_forward.minicluster.apiserver.status_errors import JSON, StatusError, bad_request
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import header_values

# etcd refuses larger requests; so does a real API server.
BODY_LIMIT = 3 << 20
# Pieces a big answer is written in: one encryption and one system call each.
PIECE = 1 << 20

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection tells.

    Attributes:
        address: Of the client, for `X-Forwarded-For`.
        user: Common name of a verified client certificate, else empty.
        groups: Its organisations.
    """

    address: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()


@dataclass(slots=True)
class Request:
    """A whole request.

    Attributes:
        path: Decoded, without query.
        query: Decoded; a parameter may repeat.
        headers: As sent, names in lower case, in order.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, list[str]]
    headers: list[tuple[str, str]]
    body: bytes
    peer: Peer

    def header(self, name: str) -> str:
        """All values of a header, joined by commas."""
        return ", ".join(value for key, value in self.headers if key == name)

    def values(self, name: str) -> list[str]:
        """Each value of a header."""
        return [value for key, value in self.headers if key == name]

    def list(self, name: str) -> list[str]:
        """Every value of a header, comma-separated lists taken apart."""
        return header_values(self.headers, name)

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """A boolean query parameter; anything but `0` and `false` is true, as in Go."""
        return name in self.query and self.param(name).lower() not in ("0", "false")

    def number(self, name: str) -> int:
        """A numeric query parameter, 0 when absent.

        Raises:
            Failure: 400 when it is not a number.
        """
        text = self.param(name)
        if not text:
            return 0
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def json(self) -> dict[str, object]:
        """The body as an object, from JSON or protobuf.

        Raises:
            Failure: 400 when it is not one, 415 for protobuf of an unknown kind.
        """
        if self.body.startswith(protobuf.MAGIC):
            return protobuf.decode(self.body)
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from None


@dataclass(slots=True)
class Response:
    """A whole answer; a body of several pieces is not joined before it is sent."""

    status: int = 200
    body: bytes | list[bytes] = b""
    content_type: str = JSON
    headers: Headers = ()

    @classmethod
    def of(cls, value: object, status: int = 200) -> Response:
        """An answer of JSON, with the line end that Go's encoder writes."""
        return cls(status, msgspec.json.encode(value) + b"\n")

    @classmethod
    def failure(cls, failure: StatusError) -> Response:
        """An answer that says what went wrong."""
        return cls(failure.code, failure.body(), failure.content_type, failure.headers)


@dataclass(slots=True)
class Stream:
    """An answer without a known end: each item of `chunks` is sent at once.

    Attributes:
        on_close: Called when the answer is over, also if no chunk was ever asked for.
    """

    chunks: AsyncIterator[bytes]
    content_type: str = JSON
    status: int = 200
    headers: Headers = ()
    on_close: Callable[[], object] | None = None


@dataclass(slots=True)
class Hijack:
    """The connection is handed over; `run` gets the wire and owns it until it returns.

    Bytes of the client that came behind the request's header are in `Wire.pushed_back`.
    """

    run: Callable[[SocketConnection], Awaitable[None]]


Answer = Response | Stream | Hijack
Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(eq=False)
class Connection:
    """One client's connection.

    Attributes:
        streaming: Whether a watch (or another endless answer) runs on it now.
        tunnel: Whether it was handed over to a tunnel.
    """

    wire: SocketConnection
    peer: Peer
    handler: Handler
    streaming: bool = False
    tunnel: bool = False
    _http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))

    async def run(self) -> None:
        """Serve until the connection ends. The wire is closed afterwards, also if cancelled."""
        try:
            while True:
                request = await self._request()
                if request is None:
                    return
                answer = await self.handler(request)
                if isinstance(answer, Hijack):
                    self.tunnel = True
                    await answer.run(self.wire)
                    return
                if isinstance(answer, Stream):
                    if not await self._stream(answer):
                        return
                else:
                    await self._respond(answer)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (OSError, h11.RemoteProtocolError):
            return  # the client broke off
        finally:
            self.wire.close()

    async def _request(self) -> Request | None:
        http = self._http
        head: h11.Request | None = None
        body: list[bytes] = []
        size = 0
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error)
                return None
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    go_on = http.send(h11.InformationalResponse(status_code=100, headers=[]))
                    await self.wire.write(go_on or b"")
                http.receive_data(await self.wire.read())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > BODY_LIMIT:
                    failure = StatusError(
                        413,
                        "RequestEntityTooLarge",
                        f"Request entity too large: limit is {BODY_LIMIT}",
                    )
                    await self._respond(Response.failure(failure), close=True)
                    return None
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                if head is None:
                    return None
                return self._parsed(head, b"".join(body))
            else:
                return None  # ConnectionClosed

    def _parsed(self, head: h11.Request, body: bytes) -> Request:
        # An upgrade's first bytes may already be here; whoever takes over finds them.
        trailing, _ = self._http.trailing_data
        if trailing:
            self.wire.pushed_back = bytes(trailing)
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

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        with contextlib.suppress(h11.LocalProtocolError, OSError):
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = f"400 Bad Request: {error}".encode()
                response = Response(error.error_status_hint, body, "text/plain; charset=utf-8")
                await self._respond(response, close=True)

    async def _respond(self, response: Response, *, close: bool = False) -> None:
        pieces = response.body if isinstance(response.body, list) else [response.body]
        size = sum(map(len, pieces))
        headers = [
            *self._common(response.content_type, response.headers),
            ("Content-Length", str(size)),
        ]
        if close:
            headers.append(("Connection", "close"))
        head = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        for piece in _joined(pieces):
            # h11 only counts here: it gives the piece back as it is.
            http = self._http.send_with_data_passthrough(h11.Data(data=piece)) or []
            await self.wire.write(b"".join((head, *http)))
            head = b""
        if head:
            await self.wire.write(head)
        self._http.send(h11.EndOfMessage())

    async def _stream(self, stream: Stream) -> bool:
        """Send an endless answer; False when the client has gone."""
        headers = [
            *self._common(stream.content_type, stream.headers),
            ("Transfer-Encoding", "chunked"),
        ]
        http, wire = self._http, self.wire
        head = http.send(h11.Response(status_code=stream.status, headers=headers)) or b""
        try:
            await wire.write(head)
            return await self._chunks(stream)
        finally:
            await _close(stream.chunks)
            if stream.on_close is not None:
                stream.on_close()

    async def _chunks(self, stream: Stream) -> bool:
        http, wire = self._http, self.wire
        self.streaming = True
        sending = asyncio.ensure_future(self._send_chunks(stream))
        # Nothing is expected from the client now, so what can be read is its end.
        reading = asyncio.ensure_future(wire.read())
        try:
            await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                if reading.exception() is not None or not reading.result():
                    return False
                wire.pushed_back = reading.result()  # a pipelined request
                await sending
            sending.result()
            if reading.done() and reading.exception() is None:
                if not reading.result():
                    return False
                wire.pushed_back = reading.result()
            await wire.write(http.send(h11.EndOfMessage()) or b"")
            return True
        finally:
            self.streaming = False
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)

    async def _send_chunks(self, stream: Stream) -> None:
        async for chunk in stream.chunks:
            if chunk:
                await self.wire.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    @staticmethod
    def _common(content_type: str, more: Headers) -> list[tuple[str, str]]:
        headers = [
            ("Audit-Id", str(uuid.uuid4())),
            ("Cache-Control", "no-cache, private"),
            ("Date", formatdate(time.time(), usegmt=True)),
        ]
        if content_type:
            headers.append(("Content-Type", content_type))
        return [*headers, *more]


def _joined(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The pieces, small ones joined up to `PIECE`."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        if batch and size + len(piece) > PIECE:
            yield b"".join(batch)
            batch, size = [], 0
        if piece:
            batch.append(piece)
            size += len(piece)
    if batch:
        yield b"".join(batch)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    closing = getattr(chunks, "aclose", None)
    if closing is not None:
        with contextlib.suppress(Exception):  # its own clean-up; the connection is over
            await closing()
