"""Fault injection: the control sockets of the supervisor and the components.

A control socket is a Unix socket. Each line is a JSON object, a request or its reply:
``{"fault": "compact"}`` → ``{"ok": true}``, or ``{"ok": false, "error": "…", "hint": "…"}``.
Clients use the supervisor's socket only (its path is in the ready line); it passes requests to the
components.

The faults (``component`` is ``apiserver``, ``kubelet`` or ``runtime``; ``node`` is the name of a
node, by default all nodes):

===================== ============================================================== ==============
``fault``             fields                                                         handled by
===================== ============================================================== ==============
``list``              –: all faults of `named_faults`, and which are on              supervisor
``set``               ``name [on]``: turn one of them on or off                      supervisor
``status``            –                                                              all
``delete-pod``        ``namespace pod [grace]``                                      API server
``crash-pod``         ``namespace pod [container]``: SIGKILL                         runtime
``stop-sandbox``      ``namespace pod``: remove the pod's network, keep its name     runtime
``not-ready``         ``namespace pod [container] ready``                            kubelet
``restart-component`` ``component [node] [down_s] [kill]``                           supervisor
``stop-component``    ``component [node] [kill]``                                    supervisor
``start-component``   ``component [node]``                                           supervisor
``pause-component``   ``component [node]``: freeze it; ``resume-component`` undoes   supervisor
                      it
``cut``               ``component [node] [what]``: reset connections; ``what`` is    that component
                      ``tunnels``, at the API server also ``watches`` or ``all``
``stall``             ``component [node] [on] [for_s]``: forward no bytes and close  that component
                      nothing; at the API server ``what`` as above
``delay``             ``component [node] seconds``: delay every byte of a tunnel; 0  that component
                      ends it
``refuse``            ``[status] [message] [reason] [times]``: error response to     API server
                      port-forward requests; status 0 ends it
``transports``        ``disable`` (list of ``spdy``, ``websocket``, ``channels``)    API server
                      ``[status]``
``expire-token``      ``[user]``: reject the user's tokens (401)                     API server
``rotate-token``      ``[user]``: write a new token to the kubeconfig or token file; supervisor
                      reject the old one
``add-user``          ``user [groups] [namespace]``: add a user with a token, and a  supervisor
                      context of its name to the kubeconfig
``credentials``       ``mode``: ``refused`` (401) or ``ignored`` (anonymous)         API server
``throttle``          ``on``: 429 to short requests of all but administrators        API server
``roles``             ``on``: false: 403 to all but administrators                   API server
``gateway``           ``mode``: a gateway in front, see `apiserver.gateway`          API server
``tunnel-life``       ``seconds``: cut tunnels at this age; 0 ends it                API server
``dial``              ``mode`` of dials of kubelets: ``no-route``, ``timeout``       API server
``accept``            ``on``: false: refuse new connections, keep open ones          API server
``certificate``       ``component [node] flaw``: serve a certificate that clients    that component
                      refuse, see `fault_switch`; an empty one ends it
``authorization``     ``component [node] status``: 401 or 403 to the API server      kubelet
``node-ready``        ``component [node] on``: false: report the node as not ready   kubelet
``put-objects``       ``objects``, see `apiserver.faulty_objects`; also              API server
                      ``delete-objects``
``compact``           –: clear the watch history                                     API server
``gone``              ``[times]``: answer watches and continued lists with HTTP 410  API server
``granularity``       ``go``: write WebSocket tunnels field by field, as Go does     API server
``streaming``         the fields of ``runtime.config``'s ``RuntimeBehavior``: error  runtime
                      variants, lifetime of URLs, back-pressure, …
``expire-tokens``     –: expire all pending streaming URLs                           runtime
``clear``             –: end all faults                                              all
===================== ============================================================== ==============

On the command line: ``python -m tui_forward.minicluster fault --control SOCKET
restart-component component=kubelet node=node-a``.
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

# Limit of one request or reply; the status of a busy cluster is far smaller.
LINE_LIMIT = 1 << 20

Request = dict[str, Any]
Reply = dict[str, Any]
Handler = Callable[[Request], Awaitable[Reply | None]]


class ControlClient:
    """Client of a control socket."""

    def __init__(self, path: str | Path, *, timeout_s: float = 30.0) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s

    def send(self, fault: str, **fields: Any) -> Reply:
        """Send a request and return its reply; for code without an event loop.

        Raises `TransportError`: the socket does not respond; `ApiError`: the request failed.
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
            raise TransportError(f"no response at control socket {self.path}: {error}") from error
        return self._decode_reply(bytes(line))

    async def request(self, fault: str, **fields: Any) -> Reply:
        """Send a request and return its reply. A cancellation does not cancel the request.

        Raises `TransportError`: the socket does not respond; `ApiError`: the request failed.
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
            raise TransportError(f"no response at control socket {self.path}: {error}") from error
        return self._decode_reply(line)

    def _decode_reply(self, line: bytes) -> Reply:
        try:
            reply = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise TransportError(f"control socket {self.path} was closed: {error}") from error
        if not reply.get("ok"):
            text, hint = str(reply.get("error", "refused")), str(reply.get("hint", ""))
            raise ApiError(text, status=400, hint=hint)
        return reply


class ControlServer:
    """Server of a control socket; the file of an earlier process is replaced.

    The handler's result is merged into ``{"ok": true}``; an error becomes the other reply.
    """

    def __init__(self, path: str | Path, handler: Handler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start to listen; only this user can connect."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=str(self._path), limit=LINE_LIMIT
        )
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and close all connections."""
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
            pass  # the client disconnected or exceeded LINE_LIMIT
        except asyncio.CancelledError:
            pass  # asyncio streams would log the cancellation
        finally:
            writer.close()

    async def _handle(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            return {"ok": True, **(await self._handler(request) or {})}
        except (ApiError, UsageError, TransportError) as error:
            return {"ok": False, "error": error.message, "hint": error.hint}
        except msgspec.MsgspecError as error:
            return {"ok": False, "error": f"not a JSON object: {error}"}
        except Exception as error:  # noqa: BLE001 - a failed fault must not stop the component
            sys.stderr.write(f"control: {line!r}: {error!r}\n")
            return {"ok": False, "error": repr(error)}


def parse_fields(arguments: list[str]) -> Request:
    """Parse `key=value` arguments of a command line; values that are JSON are decoded.

    Raises `UsageError`: an argument has no `=`.
    """
    request: Request = {}
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if not separator or not key:
            raise UsageError(f"invalid field {argument!r}", hint="Use the form key=value.")
        try:
            request[key] = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            request[key] = value
    return request
