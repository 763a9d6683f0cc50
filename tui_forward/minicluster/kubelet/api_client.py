"""Client of the API server for the kubelet: JSON over HTTP/1.1 with a client certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.socket_connection import SocketConnection, connect

MERGE_PATCH = "application/merge-patch+json"

_REQUEST_TIMEOUT_S = 30.0
_MAX_IDLE_CONNECTIONS = 4
_MAX_EVENT_BYTES = 16 * 1024 * 1024


class _Connection:
    """A keep-alive connection: the socket and its HTTP state."""

    def __init__(self, socket: SocketConnection) -> None:
        self.socket = socket
        self.http = h11.Connection(h11.CLIENT)

    async def send(self, *events: h11.Event) -> None:
        data = b"".join(self.http.send(event) or b"" for event in events)
        await self.socket.write(data)

    async def next_event(self) -> Any:
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.http.receive_data(await self.socket.read(256 * 1024))


class ApiClient:
    """Client of one API server."""

    def __init__(self, server: str, *, ca: str, cert: str, key: str, agent: str) -> None:
        parts = urlsplit(server)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 443
        self._headers = [("Host", parts.netloc), ("User-Agent", agent)]
        self._headers.append(("Accept", "application/json"))
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca)
            self._tls.load_cert_chain(cert, key)
            self._tls.set_alpn_protocols(["http/1.1"])
        self._idle: list[_Connection] = []

    def close(self) -> None:
        """Close idle connections."""
        for connection in self._idle:
            connection.socket.close()
        self._idle.clear()

    async def _connect(self) -> _Connection:
        socket = await connect(self._host, self._port)
        try:
            if self._tls is not None:
                await socket.start_tls(self._tls, server_side=False, server_hostname=self._host)
        except BaseException:
            socket.abort()
            raise
        return _Connection(socket)

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
    ) -> Object:
        """Send one request and return the object in the response.

        Raises `ApiError`: an error status; `TransportError`: no response.
        """
        while True:
            reused = bool(self._idle)
            connection: _Connection | None = None
            try:
                async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                    connection = self._idle.pop() if reused else await self._connect()
                    status, data = await self._exchange(
                        connection, method, path, body, content_type
                    )
            except (OSError, h11.RemoteProtocolError, h11.LocalProtocolError) as error:
                if connection is not None:
                    connection.socket.abort()
                if reused and not isinstance(error, TimeoutError):
                    continue  # the server closed it while it was idle
                raise TransportError(f"{method} {path}: {error}") from error
            except BaseException:
                if connection is not None:
                    connection.socket.abort()
                raise
            return _decode_object(status, data, f"{method} {path}")

    async def _exchange(
        self,
        connection: _Connection,
        method: str,
        path: str,
        body: Object | None,
        content_type: str,
    ) -> tuple[int, bytes]:
        raw = msgspec.json.encode(body) if body is not None else b""
        headers = list(self._headers)
        if body is not None:
            headers += [("Content-Type", content_type), ("Content-Length", str(len(raw)))]
        events: list[h11.Event] = [h11.Request(method=method, target=path, headers=headers)]
        if raw:
            events.append(h11.Data(data=raw))
        await connection.send(*events, h11.EndOfMessage())
        status = 0
        data = bytearray()
        while True:
            event = await connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                data += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the server closed the connection")
        if (
            connection.http.our_state is h11.DONE
            and connection.http.their_state is h11.DONE
            and len(self._idle) < _MAX_IDLE_CONNECTIONS
        ):
            connection.http.start_next_cycle()
            self._idle.append(connection)
        else:
            connection.socket.close()
        return status, bytes(data)

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield (type, object) of each watch event until the server ends the watch.

        Raises `ApiError`: an error status or ERROR event; `TransportError`: the connection broke.
        """
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                connection = await self._connect()
                request = h11.Request(method="GET", target=path, headers=self._headers)
                await connection.send(request, h11.EndOfMessage())
                response = await connection.next_event()
            if not isinstance(response, h11.Response):
                raise TransportError(f"watch {path}: the server closed the connection")
            buffer = bytearray()
            while True:
                event = await connection.next_event()
                if isinstance(event, h11.Data):
                    buffer += event.data
                    if response.status_code != 200:
                        continue
                    *lines, rest = bytes(buffer).split(b"\n")
                    buffer = bytearray(rest)
                    if len(buffer) > _MAX_EVENT_BYTES:
                        raise TransportError(f"watch {path}: event is too large")
                    for line in lines:
                        if line.strip():
                            yield _decode_event(line, path)
                elif isinstance(event, h11.EndOfMessage):
                    if response.status_code != 200:
                        _decode_object(response.status_code, bytes(buffer), f"watch {path}")
                    return
                else:
                    raise TransportError(f"watch {path}: the connection ended")
        except (OSError, h11.RemoteProtocolError) as error:
            raise TransportError(f"watch {path}: {error}") from error
        finally:
            if connection is not None:
                connection.socket.close()


def _decode_event(line: bytes, path: str) -> tuple[str, Object]:
    try:
        event = msgspec.json.decode(line, type=Object)
        kind, item = str(event["type"]), event["object"]
    except (msgspec.MsgspecError, KeyError) as error:
        raise TransportError(f"watch {path}: unreadable event") from error
    if kind == "ERROR":
        raise ApiError(
            str(item.get("message", "watch failed")),
            status=int(item.get("code", 500)),
            status_reason=str(item.get("reason", "")),
        )
    return kind, item


def _decode_object(status: int, data: bytes, request: str) -> Object:
    try:
        body = msgspec.json.decode(data, type=Object) if data else {}
    except msgspec.MsgspecError:
        body = {"message": data[:500].decode("utf-8", "replace")}
    if status >= 400:
        raise ApiError(
            f"{request}: {body.get('message', '')}",
            status=status,
            status_reason=str(body.get("reason", "")),
        )
    return body
