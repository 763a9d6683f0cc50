"""HTTP server of `tui-forward metrics --listen`, safe against any local client.

GET and HEAD of /metrics only, one request per connection. A web page could reach the server by a
name that resolves to a loopback address (DNS rebinding), so the Host must be a loopback one.
Connections, their time and the size of a request are bounded, and what a client does is never
logged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import click
import h11

from tui_forward.cli import openmetrics
from tui_forward.common.arguments import is_loopback
from tui_forward.common.printable import one_line
from tui_forward.errors import ForwardError, TransportError, TuiForwardError
from tui_forward.model import Snapshot

MAX_CONNECTIONS = 64
MAX_REQUEST_BYTES = 8192
# From the first byte to the last one of a request, and of a response.
REQUEST_S = 5.0
RESPONSE_S = 5.0
_METHODS = (b"GET", b"HEAD")
_MAX_REPORTED = 10

LoadSnapshot = Callable[[], Awaitable[Snapshot | None]]


class MetricsServer:
    """Serves the metrics of snapshots; a context manager that closes all connections.

    `load` returns a snapshot, or None if no engine is running.
    """

    def __init__(self, load: LoadSnapshot, host: str, port: int) -> None:
        self.url = ""  # of the metrics, once the server listens
        self._load = load
        self._host = host
        self._port = port
        self._connections: dict[_Connection, None] = {}  # the oldest first
        self._loading: asyncio.Task[Snapshot | None] | None = None
        self._reported: set[str] = set()

    async def __aenter__(self) -> MetricsServer:
        """Listen; raise ForwardError if that fails."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), self._host, self._port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise ForwardError(f"cannot listen on {self._host}:{self._port}: {cause}") from error
        loop.set_exception_handler(self._report)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and close all connections."""
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self._server.wait_closed()

    def _report(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Print an error of the event loop once, without asyncio's traceback.

        The usual one is that the process has no descriptor left to accept a connection.
        """
        error = context.get("exception")
        text = one_line(f"{context['message']}: {error}" if error else context["message"])
        if text not in self._reported and len(self._reported) < _MAX_REPORTED:
            self._reported.add(text)
            click.echo(f"warning: {text}", err=True)

    def add(self, connection: _Connection) -> None:
        """Count a connection; close the oldest idle one if there are too many."""
        self._connections[connection] = None
        if len(self._connections) > MAX_CONNECTIONS:
            idle = (one for one in self._connections if one.is_idle)
            next(idle, connection).abort()

    def remove(self, connection: _Connection) -> None:
        """Stop counting a connection."""
        self._connections.pop(connection, None)

    async def respond(self, request: h11.Request) -> tuple[HTTPStatus, str]:
        """Return status and body for a request."""
        try:
            target = urlsplit(request.target.decode("ascii"))
            # An absolute target replaces the Host (RFC 9112, 3.2.2).
            host = target.netloc or dict(request.headers).get(b"host", b"").decode("ascii")
        except ValueError:
            return HTTPStatus.BAD_REQUEST, "the request target or the Host is invalid\n"
        # HTTP/1.0 has no Host; browsers do not use it.
        if not _is_loopback_host(host) and not (request.http_version == b"1.0" and not host):
            return HTTPStatus.FORBIDDEN, "use a loopback address or localhost as the host\n"
        if target.path != "/metrics":
            return HTTPStatus.NOT_FOUND, "not found; metrics are at /metrics\n"
        if request.method not in _METHODS:
            return HTTPStatus.METHOD_NOT_ALLOWED, "use GET\n"
        try:
            return HTTPStatus.OK, openmetrics.format_openmetrics(await self._snapshot())
        except TuiForwardError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n"
        except Exception as error:  # noqa: BLE001 - a client must get an answer, not a traceback
            return HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}\n"

    async def _snapshot(self) -> Snapshot | None:
        """Return a snapshot; requests at the same time share one."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(self._load())
        try:
            async with asyncio.timeout(RESPONSE_S):
                return await asyncio.shield(self._loading)
        except TimeoutError as error:
            self._loading.cancel()
            raise TransportError("the engine is not responding") from error


class _Connection(asyncio.Protocol):
    """One request and its response."""

    def __init__(self, server: MetricsServer) -> None:
        self._is_waiting = True  # for the end of the request
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no response is being made: a request is incomplete, or was answered."""
        return self._task is None or self._task.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(REQUEST_S, self.abort)
        self._server.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.remove(self)
        self._deadline.cancel()
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        """Close the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Keep the connection open: a client may end its side after the request."""
        return not self._is_waiting

    def data_received(self, data: bytes) -> None:
        if not self._is_waiting:
            return  # a body, which is not needed
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._start_response()
            self._send(HTTPStatus(error.error_status_hint), "the request is invalid\n")
            return
        if isinstance(event, h11.Request):
            self._start_response()
            self._task = asyncio.create_task(self._respond(event), name="metrics-response")

    def _start_response(self) -> None:
        self._is_waiting = False
        self._deadline.cancel()
        # Also for the time to read the response.
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(2 * RESPONSE_S, self.abort)

    async def _respond(self, request: h11.Request) -> None:
        self._send(*await self._server.respond(request), is_head=request.method == b"HEAD")

    def _send(self, status: HTTPStatus, body: str, *, is_head: bool = False) -> None:
        """Send a response and end this side; the client closes the connection."""
        data = body.encode()
        headers = [
            ("Content-Type",
             openmetrics.CONTENT_TYPE if status == HTTPStatus.OK else "text/plain; charset=utf-8"),
            ("Content-Length", str(len(data))), ("Connection", "close"),
        ]  # fmt: skip
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        response = h11.Response(status_code=status, headers=headers, reason=status.phrase)
        events: list[h11.Event] = [response, h11.EndOfMessage()]
        if not is_head:
            events.insert(1, h11.Data(data=data))
        assert self._transport is not None
        for event in events:
            self._transport.write(self._http.send(event) or b"")
        with contextlib.suppress(OSError):
            self._transport.write_eof()


def _is_loopback_host(host: str) -> bool:
    """Return whether a Host header, with or without a port, names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname
        return name is not None and is_loopback(name)
    except ValueError:
        return False
