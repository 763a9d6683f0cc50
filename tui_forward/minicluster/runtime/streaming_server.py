"""Streaming server of the runtime: plain HTTP on loopback, single-use tokens.

A kubelet gets a URL through the CRI and relays its client's request to it. Statuses and texts
follow `cri-streaming`; after the upgrade, `PortForwardTunnel` serves the connection.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tui_forward.errors import ProtocolError, TuiForwardError
from tui_forward.minicluster.listener import Listener
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.port_forward_tunnel import PortForwardTunnel
from tui_forward.protocol.upgrade import STREAM_PROTOCOL, STREAM_PROTOCOL_HEADER
from tui_forward.protocol.upgrade_server import (
    HttpRequest,
    RequestReader,
    encode_response,
    is_spdy_upgrade,
    is_websocket_upgrade,
    negotiate,
    spdy_switching_protocols,
    unsupported_protocol_response,
    websocket_key_is_valid,
    websocket_switching_protocols,
)

# Six random bytes are eight characters of base64, as in the CRI's streaming library.
_TOKEN_BYTES = 6


class TooManyTokensError(TuiForwardError):
    """More streaming URLs are pending than the runtime allows."""


@dataclass(frozen=True, slots=True)
class PortForwardRequest:
    """The port-forward that a token was issued for."""

    sandbox_id: str
    ports: tuple[int, ...]


class TokenCache:
    """Single-use tokens that expire; lifetime and limit are read at every use."""

    def __init__(
        self,
        life_s: Callable[[], float],
        limit: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._life_s = life_s
        self._limit = limit
        self._clock = clock
        self._pending: OrderedDict[str, tuple[float, PortForwardRequest]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def insert(self, request: PortForwardRequest) -> str:
        """Return a new token for `request`. Raises `TooManyTokensError`: the cache is full."""
        self._expire()
        if len(self._pending) >= self._limit():
            raise TooManyTokensError("maximum number of in-flight requests exceeded")
        while True:
            token = base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).decode()
            if token not in self._pending:
                break
        self._pending[token] = (self._clock(), request)
        return token

    def consume(self, token: str) -> PortForwardRequest | None:
        """Return the request of a token, once; None if it is unknown, used or expired."""
        self._expire()
        entry = self._pending.pop(token, None)
        return entry[1] if entry is not None else None

    def expire_all(self) -> None:
        """Drop all pending tokens."""
        self._pending.clear()

    def _expire(self) -> None:
        oldest = self._clock() - self._life_s()
        while self._pending:
            token, (created_at, _) = next(iter(self._pending.items()))
            if created_at > oldest:
                return
            del self._pending[token]


_HEAD_TIMEOUT_S = 30.0
_CHANNELS = "v4.channel.k8s.io"
_CHANNELS_BASE64 = "v4.base64.channel.k8s.io"
_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


class StreamingServer:
    """Server of `/portforward/<token>`."""

    def __init__(self, dialer: Dialer, behavior: RuntimeBehavior) -> None:
        self._dialer = dialer
        self._behavior = behavior
        self.listener = Listener(self._serve)
        self.tokens = TokenCache(lambda: behavior.token_life_s, lambda: behavior.max_tokens)
        self.tunnels: set[PortForwardTunnel] = set()
        self.tunnels_total = 0
        self.stalled = False  # fault: new tunnels are stalled
        self.delay_s = 0.0  # fault: bytes of new tunnels are delayed by this

    def url(self, token: str) -> str:
        """Return the streaming URL for a token."""
        return f"http://{self.listener.host}:{self.listener.port}/portforward/{token}"

    async def close(self) -> None:
        """Stop listening and end every tunnel."""
        await self.listener.close()
        for tunnel in list(self.tunnels):
            tunnel.close()

    async def _serve(self, sock: socket.socket, client_ip: str) -> None:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        handed_over = False
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                reader = RequestReader()
                request: HttpRequest | None = None
                while request is None:
                    data = await loop.sock_recv(sock, 65536)
                    if not data:
                        return
                    request = reader.receive_data(data)
                response, pending = self._respond(request)
                await loop.sock_sendall(sock, response)
                if pending is None:
                    return
            handed_over = True
            self._start_tunnel(sock, request, pending, reader.leftover)
        except (OSError, ProtocolError):
            # Too slow (TimeoutError is an OSError), disconnected, or not HTTP.
            with contextlib.suppress(OSError):
                sock.send(encode_response(400, "bad request"))
        finally:
            if not handed_over:
                sock.close()

    def _start_tunnel(
        self, sock: socket.socket, request: HttpRequest, pending: PortForwardRequest, early: bytes
    ) -> None:
        tunnel = PortForwardTunnel(
            sock, pending.sandbox_id, self._dialer, self._behavior, self.tunnels.discard
        )
        self.tunnels.add(tunnel)
        self.tunnels_total += 1
        tunnel.delay(self.delay_s)
        if is_websocket_upgrade(request.headers):
            offered = request.values("sec-websocket-protocol")
            chosen = negotiate(offered, (_CHANNELS, _CHANNELS_BASE64))
            tunnel.serve_channels(pending.ports, early, base64=chosen == _CHANNELS_BASE64)
        else:
            tunnel.serve_spdy(early)
        if self.stalled:
            tunnel.stall(on=True)

    def _respond(self, request: HttpRequest) -> tuple[bytes, PortForwardRequest | None]:
        """Return the response, and the request of the token if the response is a 101."""
        path = request.target.partition("?")[0]
        prefix, _, token = path.rpartition("/")
        if prefix != "/portforward" or request.method not in ("GET", "POST"):
            return encode_response(404, "404: Page Not Found"), None
        pending = self.tokens.consume(token)
        if pending is None:
            return encode_response(404, "404 page not found\n", headers=_NO_SNIFF), None
        if is_websocket_upgrade(request.headers):
            return self._respond_to_websocket(request, pending)
        return self._respond_to_spdy(request, pending)

    def _respond_to_spdy(
        self, request: HttpRequest, pending: PortForwardRequest
    ) -> tuple[bytes, PortForwardRequest | None]:
        offered = request.values(STREAM_PROTOCOL_HEADER)
        if not offered:
            # Old libraries return without writing a response, which sends an empty 200.
            if self._behavior.no_protocol_status == 200:
                return encode_response(200), None
            text = f"unable to upgrade: {STREAM_PROTOCOL_HEADER} is required\n"
            return encode_response(400, text, headers=_NO_SNIFF), None
        chosen = negotiate(offered, (STREAM_PROTOCOL,))
        if chosen is None:
            return unsupported_protocol_response(offered, (STREAM_PROTOCOL,)), None
        if not is_spdy_upgrade(request.headers):
            headers = " ".join(f"{name}:[{value}]" for name, value in request.headers)
            text = f"unable to upgrade: missing upgrade headers in request: map[{headers}]\n"
            return encode_response(400, text, headers=_NO_SNIFF), None
        return spdy_switching_protocols(chosen), pending

    def _respond_to_websocket(
        self, request: HttpRequest, pending: PortForwardRequest
    ) -> tuple[bytes, PortForwardRequest | None]:
        if request.method != "GET":
            return encode_response(405), None
        if not websocket_key_is_valid(request.headers):
            return encode_response(400), None
        offered = request.values("sec-websocket-protocol")
        chosen = negotiate(offered, (_CHANNELS, _CHANNELS_BASE64))
        if offered and chosen is None:
            return encode_response(403), None
        return websocket_switching_protocols(request.header("sec-websocket-key"), chosen), pending
