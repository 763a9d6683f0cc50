"""API server, kubelet and runtime in one object, over real sockets.

All pods are alike, but for those that a test names. The port selects the application. How upgrade
requests are answered can be changed while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from tui_forward.errors import AuthError
from tui_forward.model import Reason
from tui_forward.protocol.channels_server import ChannelsServer, ServerChannel
from tui_forward.protocol.error_stream import (
    containerd_dial_error,
    containerd_sandbox_closed,
    forwarding_error,
)
from tui_forward.protocol.masking import load_masker
from tui_forward.protocol.portforward_server import ServerStreamPair, TunnelServer
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.upgrade_server import (
    HttpRequest,
    RequestReader,
    is_spdy_upgrade,
    spdy_switching_protocols,
    websocket_switching_protocols,
)
from tui_forward.protocol.websocket import WebSocketConnection
from tui_forward.transport import Endpoint

ECHO, SINK, SOURCE, REFUSED, RESET, LATE, SILENT, GONE, GREETER, UPGRADER = range(1001, 1011)
SOURCE_BYTES = 3_000_000
REFUSED_TEXT = forwarding_error(
    REFUSED,
    "sandbox",
    containerd_dial_error(
        REFUSED, "/proc/1/ns/net", "1", "dial tcp4: connect: connection refused", "dial tcp6: no"
    ),
)
GONE_TEXT = forwarding_error(GONE, "sandbox", containerd_sandbox_closed("sandbox"))


@dataclass
class FakeCluster:
    """Settings of the server, and what it received."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)  # answered with 101 and nothing else
    refused_text: str = REFUSED_TEXT
    refused_ports: set[int] = field(default_factory=lambda: {REFUSED})
    # Names of pods that differ from the others:
    refused_pods: set[str] = field(default_factory=set)  # their ports refuse connections
    gone_pods: set[str] = field(default_factory=set)  # their sandbox is gone
    unreachable_pods: set[str] = field(default_factory=set)  # their node cannot be reached
    # Ports of pods whose application is a server on this local port.
    servers: dict[int, int] = field(default_factory=dict)
    token: str = ""
    late_s: float = 0.3
    requests: list[HttpRequest] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    sink_bytes: int = 0
    opened: list[int] = field(default_factory=list)
    resets: int = 0
    eofs: int = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port, tls=self.tls, server_hostname="localhost")

    @property
    def live(self) -> list[ServerConnection]:
        return [
            connection for connection in self.connections if not connection.transport.is_closing()
        ]

    def live_to(self, pod: str) -> list[ServerConnection]:
        return [connection for connection in self.live if connection.pod == pod]

    def cut(self) -> None:
        for connection in self.live:
            connection.transport.abort()


class App:
    """One connection inside the pod."""

    def __init__(
        self,
        cluster: FakeCluster,
        connection: ServerConnection,
        pair: ServerStreamPair | ServerChannel,
    ) -> None:
        self.cluster = cluster
        self.connection = connection
        self.pair = pair
        self.left = SOURCE_BYTES
        self.is_upgraded = False
        self.relay: Relay | None = None
        cluster.opened.append(pair.port)
        connection.apps.append(self)

    def send(self, data: bytes) -> None:
        self.pair.send(data)
        self.connection.flush()

    def finish(self) -> None:
        self.pair.finish()
        self.connection.flush()

    def start(self) -> None:
        port = self.pair.port
        pod = self.connection.pod
        if port in self.cluster.refused_ports or pod in self.cluster.refused_pods:
            self.pair.fail(self.cluster.refused_text)
        elif port == GONE or pod in self.cluster.gone_pods:
            self.pair.fail(GONE_TEXT)
        elif port == SOURCE:
            self.connection.sources.append(self)
            self.connection.pump()
        elif port == GREETER:
            self.send(b"hello")
        elif port in self.cluster.servers:
            self.relay = Relay(self, self.cluster.servers[port])
        self.connection.flush()

    def data_received(self, data: memoryview) -> None:
        port = self.pair.port
        if self.relay is not None:
            self.relay.send(bytes(data))
        elif port == UPGRADER and not self.is_upgraded:
            self.is_upgraded = True
            self.send(b"HTTP/1.1 101 ")  # in two pieces
            self.send(b"Switching Protocols\r\n\r\n")
        elif port in (ECHO, UPGRADER):
            self.send(bytes(data))
        elif port == SINK:
            self.cluster.sink_bytes += len(data)
        elif port == RESET and isinstance(self.pair, ServerStreamPair):
            self.send(b"last words")
            self.pair.reset()
            self.connection.flush()

    def eof_received(self) -> None:
        self.cluster.eofs += 1
        if self.relay is not None:
            self.relay.close()
        if self.pair.port in (ECHO, SINK):
            self.finish()

    def pair_reset(self) -> None:
        self.cluster.resets += 1
        if self.relay is not None:
            self.relay.close()
        with contextlib.suppress(ValueError):
            self.connection.sources.remove(self)

    def pair_lost(self) -> None:
        self.channels_lost()

    def channels_lost(self) -> None:
        if self.relay is not None:
            self.relay.close()
        with contextlib.suppress(ValueError):
            self.connection.sources.remove(self)


class Relay(asyncio.Protocol):
    """Connection of a pod's application to a real server on this machine."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes] = []
        self.is_closed = False
        loop = asyncio.get_running_loop()
        self.connecting = loop.create_task(self._connect(port))

    async def _connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.writelines(self.waiting)
        if self.is_closed:
            self.transport.close()

    def send(self, data: bytes) -> None:
        if self.transport is None:
            self.waiting.append(data)
        else:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.app.send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_closed:
            self.app.finish()

    def close(self) -> None:
        self.is_closed = True
        if self.transport is not None:
            self.transport.close()


class ServerConnection(asyncio.Protocol):
    """One client's TCP connection."""

    transport: asyncio.Transport

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.pod = ""  # that it leads to
        self.reader: RequestReader | None = RequestReader()
        self.tunnel: TunnelServer | ChannelsServer | None = None
        self.websocket: WebSocketConnection | None = None
        self.sources: list[App] = []
        self.apps: list[App] = []
        self.writable = True
        self.muted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self.transport = transport
        self.cluster.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sources.clear()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.pump()

    def data_received(self, data: bytes) -> None:
        if self.reader is not None:
            request = self.reader.receive_data(data)
            if request is None:
                return
            data, self.reader = self.reader.leftover, None
            self.answer(request)
        if data and not self.muted:
            if self.websocket is not None:
                self.websocket.receive_data(data)
            elif self.tunnel is not None:
                self.tunnel.receive_data(data)
            self.flush()

    def answer(self, request: HttpRequest) -> None:
        cluster = self.cluster
        cluster.requests.append(request)
        self.pod = request.target.partition("/pods/")[2].partition("/")[0]
        protocol = request.header("Sec-WebSocket-Protocol")
        kind = "spdy" if is_spdy_upgrade(request.headers) else "websocket"
        if "channel.k8s.io" in protocol:
            kind = "channels"
        if kind in cluster.hang:
            return
        if cluster.token and request.header("Authorization") != f"Bearer {cluster.token}":
            self.refuse(401, '{"kind":"Status","message":"Unauthorized","reason":"Unauthorized"}')
        elif self.pod in cluster.unreachable_pods:
            self.refuse(500, "error dialing backend: dial tcp 10.0.0.7:10250: i/o timeout")
        elif kind in cluster.refuse:
            self.refuse(*cluster.refuse[kind])
        else:
            self.accept(kind, request, protocol)

    def refuse(self, status: int, body: str) -> None:
        self.transport.write(
            f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        self.transport.close()

    def accept(self, kind: str, request: HttpRequest, protocol: str) -> None:
        self.muted = kind in self.cluster.mute
        if kind == "spdy":
            self.transport.write(spdy_switching_protocols())
        else:
            key = request.header("Sec-WebSocket-Key")
            self.transport.write(websocket_switching_protocols(key, protocol or None))
        if kind == "channels":
            ports = [int(port) for port in request.target.rpartition("=")[2].split(",")]
            server = ChannelsServer(ports)
            self.tunnel = server
            for channel in server.channels:
                app = App(self.cluster, self, channel)
                channel.receiver = app
                app.start()
        else:
            self.tunnel = TunnelServer(self)
            if kind == "websocket":
                self.websocket = WebSocketConnection(Side.SERVER, self)

    def pair_opened(self, pair: ServerStreamPair) -> None:
        app = App(self.cluster, self, pair)
        pair.receiver = app
        app.start()
        if pair.port == LATE:
            loop = asyncio.get_running_loop()
            loop.call_later(self.cluster.late_s, app.send, b"late answer")
            loop.call_later(self.cluster.late_s, app.finish)

    def tunnel_ended(self, error: object) -> None:
        self.flush()
        self.transport.close()

    # WebSocketReceiver, for the tunnel inside a WebSocket.

    def message_started(self, opcode: int) -> None: ...

    def payload_received(self, data: memoryview) -> None:
        assert self.tunnel is not None
        self.tunnel.receive_data(data)

    def message_ended(self) -> None: ...

    def pong_received(self, payload: bytes) -> None: ...

    def websocket_ended(self, error: object) -> None:
        assert isinstance(self.tunnel, TunnelServer)
        self.tunnel.receive_eof()

    def flush(self) -> None:
        if self.tunnel is None or self.muted or self.transport.is_closing():
            return
        parts = self.tunnel.data_to_send()
        if self.websocket is not None:
            self.websocket.send_fragmented(parts)
            parts = self.websocket.data_to_send()
        self.transport.writelines([bytes(part) for part in parts])

    def pump(self) -> None:
        while self.sources and self.writable:
            app = self.sources.pop(0)
            chunk = b"s" * min(32768, app.left)
            app.left -= len(chunk)
            app.send(chunk)
            if app.left:
                self.sources.append(app)
            else:
                app.finish()


@contextlib.asynccontextmanager
async def running_cluster(
    server_tls: ssl.SSLContext | None = None, client_tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeCluster]:
    """Run a fake cluster on a free port."""
    load_masker()  # as in an engine before its first tunnel; it imports much, and dials have limits
    cluster = FakeCluster(tls=client_tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ServerConnection(cluster), "127.0.0.1", 0, ssl=server_tls
    )
    cluster.port = server.sockets[0].getsockname()[1]
    try:
        yield cluster
    finally:
        server.close()
        cluster.cut()
        await server.wait_closed()


class FakeAccess:
    """`ServerAccess` to a fake cluster."""

    def __init__(self, cluster: FakeCluster, tokens: tuple[str, ...] = ()) -> None:
        self._chain = cluster
        self._tokens = list(tokens)
        self.refreshes = 0
        self.context = "test"
        self.insecure = False
        self.pod_answers = False

    async def endpoint(self) -> Endpoint:
        return self._chain.endpoint

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        if refresh:
            self.refreshes += 1
            if len(self._tokens) > 1:
                self._tokens.pop(0)
        return {"Authorization": f"Bearer {self._tokens[0]}"} if self._tokens else {}

    @property
    def login(self) -> Reason | None:
        return None

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def explain(self, error: AuthError) -> AuthError:
        return error

    async def check_pod(self, namespace: str, pod: str) -> bool:
        return self.pod_answers
