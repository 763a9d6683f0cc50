"""The `portforward` subresource: from the client's upgrade to the kubelet, and back.

SPDY/3.1 and the legacy WebSocket channels are handed to the kubelet as they are; after its 101
both connections are one raw pipe. A WebSocket that carries SPDY (KEP-4006) ends here: the
request goes on as a SPDY upgrade, and `tunnel` translates. What the kubelet refuses reaches
the client word for word.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, urlencode

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.http import Hijack, Request, Response
from tui_forward.minicluster.apiserver.kubelet_dialer import Backend, Head, KubeletDialer, read_head
from tui_forward.minicluster.apiserver.status_errors import (
    PlainTextError,
    StatusError,
    bad_request,
    not_found,
)
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.websocket_tunnel import WebSocketTunnel
from tui_forward.minicluster.relay import Relay
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import (
    is_tunnel_protocol,
    is_upgrade,
    is_websocket_upgrade,
    split_bearer_protocol,
    websocket_key_is_valid,
    websocket_switching_protocols,
)

# How long a refusal of the kubelet may take to pass.
REFUSAL_TIMEOUT_S = 10.0

# Of this hop, or of the client's relation to this hop: never passed on.
_OWN_HEADERS = frozenset(
    {"authorization", "host", "content-length", "x-forwarded-for", "transfer-encoding"}
)


class ActivePortForward(Protocol):
    """An upgraded connection while it lasts.

    Attributes:
        delay_s: Every byte is delivered later by this.
    """

    delay_s: float

    def stall(self) -> None:
        """Move nothing, close nothing."""

    def resume(self) -> None:
        """End a stall."""

    def cut(self) -> None:
        """End it."""

    def reset(self) -> None:
        """End it with RST."""

    async def wait(self) -> None:
        """Return when it has ended."""


class PortForward:
    """Answers requests for the `portforward` subresource.

    Args:
        running: Is told of every upgraded connection; what it returns is called at its end.
    """

    def __init__(
        self,
        store: Store,
        kubelets: KubeletDialer,
        faults: Faults,
        running: Callable[[ActivePortForward], Callable[[], None]],
    ) -> None:
        self._store = store
        self._kubelets = kubelets
        self._faults = faults
        self._running = running

    async def handle(self, request: Request, namespace: str, name: str) -> Hijack | Response:
        """Upgrade, or say why not.

        Raises:
            Failure: Every row of the real server's errors that belongs to this hop.
        """
        ports = _ports(request)
        pod = self._store.get(resources.PODS, namespace, name)
        if pod is None:
            raise not_found("pods", name)
        node = pod.node
        if not node:
            raise bad_request(f"pod {name} does not have a host assigned")
        if not is_upgrade(request.headers):
            raise bad_request("Upgrade request required")
        websocket = is_websocket_upgrade(request.headers)
        _, protocols = split_bearer_protocol(request.list("sec-websocket-protocol"))
        tunnelled = websocket and any(name.startswith("SPDY/3.1+") for name in protocols)
        self._faults.check_portforward(
            "websocket" if tunnelled else "channels" if websocket else "spdy"
        )
        backend = self._kubelets.backend(node)
        path = f"/portForward/{quote(namespace)}/{quote(name)}"
        if tunnelled:
            return await self._tunnel(request, backend, path, protocols)
        if ports:
            path += "?" + urlencode([("port", port) for port in ports])
        headers = _passed_on(request)
        if websocket and protocols:
            headers = [h for h in headers if h[0] != "sec-websocket-protocol"]
            headers.append(("sec-websocket-protocol", ", ".join(protocols)))
        upstream, head = await self._ask(request.method, path, backend, headers, request)
        if head.status != 101:
            return self._refused(upstream, head)
        return Hijack(lambda wire: self._relay(wire, upstream, head.raw))

    async def _ask(
        self,
        method: str,
        path: str,
        backend: Backend,
        headers: list[tuple[str, str]],
        request: Request,
    ) -> tuple[SocketConnection, Head]:
        forwarded = [*request.values("x-forwarded-for"), request.peer.address]
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {backend.authority}",
            *(f"{_spelled(key)}: {value}" for key, value in headers),
            f"X-Forwarded-For: {', '.join(filter(None, forwarded))}",
        ]
        if method == "POST":
            lines.append("Content-Length: 0")
        upstream = await self._kubelets.dial(backend)
        try:
            await upstream.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            return upstream, await read_head(upstream)
        except OSError as error:
            upstream.abort()
            raise StatusError(500, "", f"error dialing backend: {error}") from error
        except BaseException:
            upstream.abort()
            raise

    def _refused(self, upstream: SocketConnection, head: Head) -> Hijack:
        if head.status < 400:
            upstream.close()
            raise PlainTextError(500, f"invalid upgrade response: status code {head.status}")
        return Hijack(lambda wire: _echo(wire, upstream, head))

    async def _relay(self, wire: SocketConnection, upstream: SocketConnection, head: bytes) -> None:
        # What the client sent before it was told to is dropped, as by Go's hijack.
        wire.pushed_back = b""
        try:
            await wire.write(head)
        except BaseException:
            upstream.abort()
            raise
        await self._run(Relay(wire, upstream))

    async def _run(self, relay: ActivePortForward) -> None:
        ended = self._running(relay)
        try:
            await relay.wait()
        finally:
            ended()

    async def _tunnel(
        self, request: Request, backend: Backend, path: str, protocols: list[str]
    ) -> Hijack:
        chosen = next(filter(is_tunnel_protocol, protocols), None)
        if chosen is None:
            raise bad_request("unable to upgrade: no supported tunneling protocol")
        if request.method != "GET" or not websocket_key_is_valid(request.headers):
            raise bad_request("websocket: the client is not using the websocket protocol")
        headers = [
            header for header in _passed_on(request) if not header[0].startswith("sec-websocket-")
        ]
        headers = [h for h in headers if h[0] not in ("connection", "upgrade")]
        headers += [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", chosen.removeprefix("SPDY/3.1+")),
        ]
        upstream, head = await self._ask("POST", path, backend, headers, request)
        if head.status != 101:
            return self._refused(upstream, head)
        answer = websocket_switching_protocols(request.header("sec-websocket-key"), chosen)

        async def run(wire: SocketConnection) -> None:
            wire.pushed_back = b""
            try:
                await wire.write(answer)
            except BaseException:
                upstream.abort()
                raise
            await self._run(WebSocketTunnel(wire, upstream, go_framing=self._faults.go_framing))

        return Hijack(run)


def _ports(request: Request) -> list[str]:
    """The values of `ports`, as Go's conversion to `[]int32` takes them.

    Raises:
        Failure: 400.
    """
    ports = [port for value in request.query.get("ports", ()) for port in value.split(",")]
    for port in ports:
        if not re.fullmatch(r"[0-9]+", port):
            cause = "invalid syntax"
        elif int(port) > 65535:
            cause = "value out of range"
        else:
            continue
        raise bad_request(
            f'cannot convert to []int32: strconv.ParseUint: parsing "{port}": {cause}'
        )
    return ports


def _passed_on(request: Request) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, value in request.headers
        if key not in _OWN_HEADERS and not key.startswith("impersonate-")
    ]


def _spelled(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


async def _echo(wire: SocketConnection, upstream: SocketConnection, head: Head) -> None:
    """Give the kubelet's refusal to the client as it is, then close."""
    try:
        await wire.write(head.raw)
        left = head.length
        async with asyncio.timeout(REFUSAL_TIMEOUT_S):
            while left is None or left > 0:
                chunk = await upstream.read()
                if not chunk:
                    break
                if left is not None:
                    left -= len(chunk)
                await wire.write(chunk)
                if head.chunked and chunk.endswith(b"0\r\n\r\n"):
                    break
    except TimeoutError:
        return
    finally:
        upstream.close()
