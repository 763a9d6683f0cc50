"""A small HTTP/1.1 server for applications: keep-alive, request and response bodies, HEAD.

Not a library, because bodies must be counted and discarded at the speed of the socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from tui_forward.minicluster.runtime.apps.connection import AppConnection

MAX_HEADERS: Final = 100


@dataclass
class Request:
    """A request whose body has not been read yet."""

    method: str
    target: str
    headers: dict[str, str]
    conn: AppConnection
    left: int = 0  # bytes of the body still to be read, unless `chunked`
    chunked: bool = False
    expects_continue: bool = False

    async def discard_body(self) -> int:
        """Read the body to its end and return its size."""
        if self.expects_continue:
            self.expects_continue = False
            await self.conn.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.chunked:
            left, self.left = self.left, 0
            await self.conn.discard(left)
            return left
        self.chunked = False
        total = 0
        while True:
            size = int((await self.conn.read_line()).split(b";")[0], 16)
            await self.conn.discard(size)
            total += size
            if not size:
                while await self.conn.read_line():
                    pass
                return total
            await self.conn.read_line()


@dataclass
class Response:
    """A response; `stream` bytes of `pattern` follow `body`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    close: bool = False
    stream: int = 0
    pattern: memoryview = field(default_factory=lambda: memoryview(b"\0" * 65536))


Handler = Callable[[Request], Awaitable[Response]]


def make_handler(handler: Handler) -> Callable[[AppConnection], Awaitable[None]]:
    """Return a connection handler that responds to every request with `handler`."""

    async def serve(conn: AppConnection) -> None:
        while True:
            request = await _read_request(conn)
            if request is None:
                return
            response = await handler(request)
            await request.discard_body()
            close = response.close or request.headers.get("connection", "").lower() == "close"
            await _send_response(conn, request, response, close=close)
            if close:
                return

    return serve


async def _read_request(conn: AppConnection) -> Request | None:
    try:
        start = (await conn.read_line()).decode("latin-1")
    except EOFError:
        return None
    words = start.split(" ")
    if len(words) != 3:
        await conn.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        return None
    headers: dict[str, str] = {}
    while line := await conn.read_line():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > MAX_HEADERS:
            raise ValueError("too many headers")
    request = Request(words[0], words[1], headers, conn)
    request.chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "0")
    request.left = int(length) if length.isascii() and length.isdigit() else 0
    request.expects_continue = headers.get("expect", "").lower() == "100-continue"
    if words[2] == "HTTP/1.0" and "connection" not in headers:
        headers["connection"] = "close"
    return request


async def _send_response(
    conn: AppConnection, request: Request, response: Response, *, close: bool
) -> None:
    reason = HTTPStatus(response.status).phrase
    head = (
        f"HTTP/1.1 {response.status} {reason}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body) + response.stream}\r\n"
        f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n"
    ).encode()
    if request.method == "HEAD":
        await conn.write(head)
        return
    await conn.write(head + response.body)
    await conn.write_pattern(response.pattern, response.stream)
