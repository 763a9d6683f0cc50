"""The streaming server of the runtime: plain HTTP on loopback, one token per request.

A kubelet gets a URL over CRI and relays its client's request to it unchanged. Statuses and
texts after `cri-streaming`; what follows an upgrade is `tunnel`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.port_forward_tunnel import PortForwardTunnel
from tui_forward.minicluster.runtime.token_cache import PortForwardRequest, TokenCache
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

_HEAD_S = 30.0
_CHANNELS = "v4.channel.k8s.io"
_CHANNELS_BASE64 = "v4.base64.channel.k8s.io"
_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


class StreamingServer:
    """Serves `/portforward/<token>`.

    Args:
        dialer: Reaches the applications.
        switches: See `Switches`.

    Attributes:
        tokens: Pending requests.
        tunnels: Upgraded connections.
        tunnels_total: How many there ever were.
        stalled: New tunnels are stalled from their first byte.
        delay_s: Every byte of new tunnels is later by this.
        port: Where it listens, after `start`.
    """

    def __init__(self, dialer: Dialer, switches: RuntimeBehavior) -> None:
        self._dialer = dialer
        self._switches = switches
        self.tokens = TokenCache(lambda: switches.token_life_s, lambda: switches.max_tokens)
        self.tunnels: set[PortForwardTunnel] = set()
        self.port = 0
        self._host = ""
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.tunnels_total = 0
        self.stalled = False
        self.delay_s = 0.0

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.create_server((host, port), backlog=1024)
        listener.setblocking(False)
        self._listener = listener
        self._host, self.port = listener.getsockname()[:2]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def url(self, token: str) -> str:
        """The URL that a kubelet is given."""
        return f"http://{self._host}:{self.port}/portforward/{token}"

    async def close(self) -> None:
        """Stop listening and end every tunnel at once, as the end of the process would."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for tunnel in list(self.tunnels):
            tunnel.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.get_running_loop().create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        handed_over = False
        try:
            async with asyncio.timeout(_HEAD_S):
                reader = RequestReader()
                request: HttpRequest | None = None
                while request is None:
                    data = await loop.sock_recv(sock, 65536)
                    if not data:
                        return
                    request = reader.receive_data(data)
                refusal, pending = self._judge(request)
                if pending is None:
                    await loop.sock_sendall(sock, refusal)
                    return
                tunnel = PortForwardTunnel(
                    sock,
                    pending.sandbox_id,
                    self._dialer,
                    self._switches,
                    self.tunnels.discard,
                )
                await loop.sock_sendall(sock, refusal)
            self.tunnels.add(tunnel)
            self.tunnels_total += 1
            handed_over = True
            tunnel.delay(self.delay_s)
            self._upgrade(tunnel, request, pending, reader.leftover)
            if self.stalled:
                tunnel.stall(on=True)
        except (OSError, ProtocolError):
            # TimeoutError is an OSError: too slow, gone, or no HTTP at all.
            with contextlib.suppress(OSError):
                sock.send(encode_response(400, "bad request"))
        finally:
            if not handed_over:
                sock.close()

    def _upgrade(
        self,
        tunnel: PortForwardTunnel,
        request: HttpRequest,
        pending: PortForwardRequest,
        early: bytes,
    ) -> None:
        if is_websocket_upgrade(request.headers):
            offered = request.values("sec-websocket-protocol")
            chosen = negotiate(offered, (_CHANNELS, _CHANNELS_BASE64))
            tunnel.serve_channels(pending.ports, early, base64=chosen == _CHANNELS_BASE64)
        else:
            tunnel.serve_spdy(early)

    def _judge(self, request: HttpRequest) -> tuple[bytes, PortForwardRequest | None]:
        """The answer, and what was asked for if the answer is a 101."""
        path = request.target.partition("?")[0]
        prefix, _, token = path.rpartition("/")
        if prefix != "/portforward" or request.method not in ("GET", "POST"):
            return encode_response(404, "404: Page Not Found"), None
        pending = self.tokens.consume(token)
        if pending is None:
            return encode_response(404, "404 page not found\n", headers=_NO_SNIFF), None
        if is_websocket_upgrade(request.headers):
            return self._judge_websocket(request, pending)
        return self._judge_spdy(request, pending)

    def _judge_spdy(
        self, request: HttpRequest, pending: PortForwardRequest
    ) -> tuple[bytes, PortForwardRequest | None]:
        offered = request.values(STREAM_PROTOCOL_HEADER)
        if not offered:
            # Old libraries return without having written anything: an empty 200.
            if self._switches.no_protocol_status == 200:
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

    def _judge_websocket(
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
