"""The `portforward` subresource: upgrades the client's connection and relays it to the kubelet.

Requests for SPDY/3.1 and the legacy WebSocket channels are passed to the kubelet unchanged; after
its 101 the bytes of both connections are relayed. A WebSocket that carries SPDY (KEP-4006) ends
here: the kubelet gets a SPDY upgrade, and `websocket_tunnel` translates. Error responses of the
kubelet are passed to the client unchanged.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlencode

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.http import Hijack, Request, Response
from tui_forward.minicluster.apiserver.kubelet_dialer import (
    Backend,
    KubeletDialer,
    ResponseHead,
    read_head,
)
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

# How long the body of a kubelet's error response may take.
ERROR_RESPONSE_TIMEOUT_S = 10.0

# Headers that concern the client's connection to this server only.
_HOP_BY_HOP_HEADERS = frozenset(
    {"authorization", "host", "content-length", "x-forwarded-for", "transfer-encoding"}
)


class PortForward:
    """Handles the `portforward` subresource; `on_start` returns what to call at a relay's end."""

    def __init__(
        self,
        store: Store,
        kubelets: KubeletDialer,
        faults: Faults,
        on_start: Callable[[Relay], Callable[[], None]],
    ) -> None:
        self._store = store
        self._kubelets = kubelets
        self._faults = faults
        self._on_start = on_start

    async def handle(self, request: Request, namespace: str, name: str) -> Hijack | Response:
        """Upgrade a connection, or return the kubelet's error response."""
        ports = _ports(request)
        pod = self._store.get(resources.PODS, namespace, name)
        if pod is None:
            raise not_found("pods", name)
        node = pod.node
        if not node:
            raise bad_request(f"pod {name} does not have a host assigned")
        if not is_upgrade(request.headers):
            raise bad_request("Upgrade request required")
        is_websocket = is_websocket_upgrade(request.headers)
        _, protocols = split_bearer_protocol(request.list("sec-websocket-protocol"))
        is_tunnel = is_websocket and any(name.startswith("SPDY/3.1+") for name in protocols)
        self._faults.check_portforward(
            "websocket" if is_tunnel else "channels" if is_websocket else "spdy"
        )
        backend = self._kubelets.backend(node)
        path = f"/portForward/{quote(namespace)}/{quote(name)}"
        if is_tunnel:
            return await self._open_tunnel(request, backend, path, protocols)
        if ports:
            path += "?" + urlencode([("port", port) for port in ports])
        headers = _forwarded_headers(request)
        if is_websocket and protocols:
            headers = [h for h in headers if h[0] != "sec-websocket-protocol"]
            headers.append(("sec-websocket-protocol", ", ".join(protocols)))
        upstream, head = await self._send_request(request.method, path, backend, headers, request)
        if head.status != 101:
            return self._pass_error(upstream, head)
        return Hijack(lambda downstream: self._relay(downstream, upstream, head.raw))

    async def _send_request(
        self,
        method: str,
        path: str,
        backend: Backend,
        headers: list[tuple[str, str]],
        request: Request,
    ) -> tuple[SocketConnection, ResponseHead]:
        forwarded = [*request.values("x-forwarded-for"), request.peer.address]
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {backend.authority}",
            *(f"{_canonical_name(key)}: {value}" for key, value in headers),
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

    def _pass_error(self, upstream: SocketConnection, head: ResponseHead) -> Hijack:
        if head.status < 400:
            upstream.close()
            raise PlainTextError(500, f"invalid upgrade response: status code {head.status}")
        return Hijack(lambda downstream: _copy_response(downstream, upstream, head))

    async def _relay(
        self,
        downstream: SocketConnection,
        upstream: SocketConnection,
        response: bytes,
        make_relay: Callable[[SocketConnection, SocketConnection], Relay] = Relay,
    ) -> None:
        # Bytes that the client sent before the 101 are dropped, as by Go's hijack.
        downstream.pushed_back = b""
        try:
            await downstream.write(response)
        except BaseException:
            upstream.abort()
            raise
        relay = make_relay(downstream, upstream)
        on_end = self._on_start(relay)
        try:
            await relay.wait()
        finally:
            on_end()

    async def _open_tunnel(
        self, request: Request, backend: Backend, path: str, protocols: list[str]
    ) -> Hijack:
        protocol = next(filter(is_tunnel_protocol, protocols), None)
        if protocol is None:
            raise bad_request("unable to upgrade: no supported tunneling protocol")
        if request.method != "GET" or not websocket_key_is_valid(request.headers):
            raise bad_request("websocket: the client is not using the websocket protocol")
        headers = [
            (name, value)
            for name, value in _forwarded_headers(request)
            if name not in ("connection", "upgrade") and not name.startswith("sec-websocket-")
        ]
        headers += [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", protocol.removeprefix("SPDY/3.1+")),
        ]
        # The method of the WebSocket, as a kubelet's authorization sees it.
        upstream, head = await self._send_request("GET", path, backend, headers, request)
        if head.status != 101:
            return self._pass_error(upstream, head)
        response = websocket_switching_protocols(request.header("sec-websocket-key"), protocol)
        make_tunnel = partial(WebSocketTunnel, go_framing=self._faults.go_framing)
        return Hijack(lambda downstream: self._relay(downstream, upstream, response, make_tunnel))


def _ports(request: Request) -> list[str]:
    """Return the values of `ports`, parsed like Go's conversion to `[]int32`."""
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


def _forwarded_headers(request: Request) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, value in request.headers
        if key not in _HOP_BY_HOP_HEADERS and not key.startswith("impersonate-")
    ]


def _canonical_name(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


async def _copy_response(
    downstream: SocketConnection, upstream: SocketConnection, head: ResponseHead
) -> None:
    """Send the kubelet's error response to the client unchanged."""
    try:
        await downstream.write(head.raw)
        remaining = head.length
        async with asyncio.timeout(ERROR_RESPONSE_TIMEOUT_S):
            while remaining is None or remaining > 0:
                chunk = await upstream.read()
                if not chunk:
                    break
                if remaining is not None:
                    remaining -= len(chunk)
                await downstream.write(chunk)
                if head.chunked and chunk.endswith(b"0\r\n\r\n"):
                    break
    except TimeoutError:
        return
    finally:
        upstream.close()
