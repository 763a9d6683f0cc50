"""Faults on demand: the control sockets of the supervisor and of every hop.

A control socket is a unix socket. One JSON object per line asks, one answers, any number of
times per connection: ``{"fault": "compact"}`` → ``{"ok": true}``; what cannot be done is
answered with ``{"ok": false, "error": "…"}``. Clients only ever talk to the supervisor's
socket (its path is in the ready line); it passes on what concerns a hop, unchanged.

What can be asked for (``hop`` is ``apiserver``, ``kubelet`` or ``runtime``; ``node`` names one
node and defaults to all of them):

================= ================================================ =============
``fault``         further fields                                   done by
================= ================================================ =============
``status``        –                                                every hop
``delete-pod``    ``namespace pod [grace]``                        API server
``crash-pod``     ``namespace pod [container]``: SIGKILL           runtime
``stop-sandbox``  ``namespace pod``: its network goes, its name    runtime
                  stays
``not-ready``     ``namespace pod [container] ready``              kubelet
``restart-hop``   ``hop [node] [down_s] [kill]``                   supervisor
``stop-hop``      ``hop [node] [kill]``                            supervisor
``start-hop``     ``hop [node]``                                   supervisor
``cut``           ``hop [node] [what]``: connections end with      that hop
                  RST; ``what`` is ``tunnels``, at the API server
                  also ``watches`` or ``all``
``stall``         ``hop [node] [on] [for_s]``: nothing is read or  that hop
                  forwarded, nothing is closed; at the API server
                  ``what`` as above
``delay``         ``hop [node] seconds``: every byte of a tunnel   that hop
                  later by this, 0 ends it
``refuse``        ``[status] [message] [reason] [times]``: answer  API server
                  port-forward requests so; status 0 ends it
``transports``    ``disable`` (list of ``spdy``, ``websocket``,    API server
                  ``channels``) ``[status]``
``expire-token``  ``[user]``: its tokens answer 401                API server
``rotate-token``  ``[user]``: a new token in the kubeconfig or in  supervisor
                  the token's file; the old one answers 401
``compact``       –: forget the watch history                      API server
``gone``          ``[times]``: answer watches and lists that       API server
                  continue with HTTP 410 directly
``granularity``   ``go``: write the WebSocket tunnel field by      API server
                  field, as Go does
``streaming``     the fields of ``runtime.config.Switches``:       runtime
                  error variants, token life, back-pressure, …
``expire-tokens`` –: pending streaming URLs are forgotten          runtime
``clear``         –: end every lasting fault                       every hop
================= ================================================ =============

The same by hand: ``python -m tui_forward.minicluster fault --control SOCKET restart-hop
hop=kubelet node=node-a``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import ApiError, TransportError, UsageError

# One request or answer; status answers of a busy cluster stay far below this.
LINE_LIMIT = 1 << 20

Request = dict[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Request], Awaitable[Answer | None]]


class ControlClient:
    """Asks a control socket for something, and waits until it is done.

    Args:
        path: The socket; the supervisor's is `control` in its ready line.
        timeout_s: How long one request may take.
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 30.0) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s

    def send(self, fault: str, **fields: Any) -> Answer:
        """Ask and wait for the answer, from code without an event loop.

        Raises:
            TransportError: Nobody answers at the socket.
            ApiError: The request was understood and cannot be done.
        """
        request = msgspec.json.encode({"fault": fault, **fields}) + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout_s)
                connection.connect(self.path)
                connection.sendall(request)
                line = bytearray()
                while not line.endswith(b"\n"):
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    line += chunk
        except OSError as error:
            raise TransportError(f"no answer at control socket {self.path}: {error}") from error
        return self._answer(bytes(line))

    async def request(self, fault: str, **fields: Any) -> Answer:
        """Ask and wait for the answer. Cancellation drops the connection, not the request.

        Raises:
            TransportError: Nobody answers at the socket.
            ApiError: The request was understood and cannot be done.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                reader, writer = await asyncio.open_unix_connection(self.path, limit=LINE_LIMIT)
                try:
                    writer.write(msgspec.json.encode({"fault": fault, **fields}) + b"\n")
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise TransportError(f"no answer at control socket {self.path}: {error}") from error
        return self._answer(line)

    def _answer(self, line: bytes) -> Answer:
        try:
            answer = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise TransportError(f"control socket {self.path} was closed: {error}") from error
        if not answer.get("ok"):
            raise ApiError(str(answer.get("error", "refused")), status=400)
        return answer


class ControlServer:
    """Serves a control socket.

    Args:
        path: Where to listen; a leftover of an earlier process is replaced.
        handler: Gets each request; what it returns is merged into ``{"ok": true}``. An
            `ApiError` or `UsageError` it raises becomes ``{"ok": false, "error": …}``.
    """

    def __init__(self, path: str | Path, handler: Handler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; only this user can connect."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=str(self._path), limit=LINE_LIMIT
        )
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._handle(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the client went away, or sent a line without an end
        except asyncio.CancelledError:
            pass  # closing: the streams machinery would log a cancelled handler
        finally:
            writer.close()

    async def _handle(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            return {"ok": True, **(await self._handler(request) or {})}
        except (ApiError, UsageError, TransportError) as error:
            return {"ok": False, "error": error.message}
        except msgspec.MsgspecError as error:
            return {"ok": False, "error": f"not a JSON object: {error}"}
        except Exception as error:  # noqa: BLE001 - a fault that fails must not end the hop
            sys.stderr.write(f"control: {line!r}: {error!r}\n")
            return {"ok": False, "error": repr(error)}


def parse_fields(words: list[str]) -> Request:
    """`key=value` words of a command line as a request; a value that is JSON is read as JSON.

    Raises:
        UsageError: A word has no `=`.
    """
    request: Request = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise UsageError(f"cannot understand {word!r}", hint="write key=value")
        try:
            request[key] = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            request[key] = value
    return request
