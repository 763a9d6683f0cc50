"""A fake cluster, a pool to it, and local connections through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from tests.engine.fake_cluster import FakeAccess, FakeCluster, running_cluster
from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.connections.pod_history import PodHistory
from tui_forward.engine.connections.preconnector import Preconnector, SpareChannel
from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import ForwardError
from tui_forward.model import PodRef, Reason, ReasonCode, TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure

POD = PodRef(namespace="shop", name="web-1", uid="u1")
OTHER_POD = PodRef(namespace="shop", name="web-2", uid="u2")


@contextlib.asynccontextmanager
async def pool_to(
    cluster: FakeCluster,
    limits: Limits,
    *,
    transport: TransportChoice = TransportChoice.AUTO,
    transport_cache: TransportCache | None = None,
    access: FakeAccess | None = None,
    on_change: Callable[[], None] = lambda: None,
) -> AsyncIterator[TunnelPool]:
    """Create a pool, closed at the end."""
    pool = TunnelPool(
        access or FakeAccess(cluster),
        transport=transport,
        transport_cache=transport_cache or TransportCache(),
        limits=limits,
        on_change=on_change,
    )
    try:
        yield pool
    finally:
        await pool.close()


class IgnoringHandler:
    """Handler of a channel without a connection."""

    def data_received(self, pieces: list[memoryview]) -> None: ...

    def eof_received(self) -> None: ...

    def writing_paused(self) -> None: ...

    def writing_resumed(self) -> None: ...

    def evicted(self, reason: Reason) -> None: ...

    def closed(self, failure: PortForwardFailure | None) -> None: ...


class FakeConnectionOwner:
    """Forward with one pool."""

    def __init__(self, pool: TunnelPool) -> None:
        self._pool = pool
        self.counters = ForwardCounters()
        self.failures: list[ForwardError] = []
        self.gone: list[ForwardError] = []
        self.ready = True
        self.histories: dict[PodRef, PodHistory] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.preconnector = Preconnector(0, max_age_s=5.0, usable_pool=self.usable_pool)

    def take_spare(self, pool: TunnelPool) -> SpareChannel | None:
        return self.preconnector.take(pool.pod)

    def usable_pool(self, client: str = "") -> TunnelPool | None:
        return self._pool if self.open.is_set() and self._pool.up else None

    async def wait_for_pool(self, client: str) -> TunnelPool:
        await self.open.wait()
        return self._pool

    def refusal_is_final(self, failure: ForwardError, pod: PodRef | None) -> bool:
        return self.ready

    async def wait_for_retry(self) -> None:
        await asyncio.Event().wait()

    def follow_pod(self, pod: PodRef, port: int) -> PodHistory:
        return self.histories.setdefault(pod, PodHistory(pod, 0))

    @property
    def is_refusing(self) -> bool:
        return False

    def pod_answered(self) -> None: ...

    def connection_failed(self, failure: ForwardError) -> None:
        self.failures.append(failure)

    def sandbox_gone(self, failure: ForwardError, pod: PodRef | None) -> None:
        self.gone.append(failure)


class EngineHarness:
    """A fake cluster, a pool to it, and connections through it."""

    def __init__(self, cluster: FakeCluster, limits: Limits, pool: TunnelPool) -> None:
        self.cluster = cluster
        self.limits = limits
        self.pool = pool
        self.owner = FakeConnectionOwner(self.pool)
        self.clients: list[socket.socket] = []
        self.connections: list[LocalConnection] = []
        self.tasks: list[asyncio.Future[None]] = []  # the end of each connection

    def accept(
        self,
        *,
        queue_timeout_s: float = 60.0,
        half_close_timeout_s: float = 0.2,
        small: bool = False,
        first: bytes = b"",
        proxy_client: ProxyClient | None = None,
    ) -> socket.socket:
        """Return a client's socket with a running connection at its other end.

        Args:
            queue_timeout_s: See `LocalConnection`.
            half_close_timeout_s: See `LocalConnection`.
            small: Use small kernel buffers.
            first: What the client has sent when its connection is accepted.
            proxy_client: See `LocalConnection`.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.socket()
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            client.send(first)
            local, _ = listener.accept()
        if small:
            local.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setblocking(False)
        local.setblocking(False)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.clients.append(client)
        connection = LocalConnection(
            local,
            connection_id=len(self.connections) + 1,
            forward_id="f1",
            client="127.0.0.1:1",
            owner=self.owner,
            limits=self.limits,
            queue_timeout_s=queue_timeout_s,
            half_close_timeout_s=half_close_timeout_s,
            on_closed=lambda: ended.set_result(None),
            proxy_client=proxy_client,
        )
        self.connections.append(connection)
        self.tasks.append(ended)
        connection.start()
        return client

    async def open(self, port: int) -> None:
        await self.pool.connect(POD, port)


@contextlib.asynccontextmanager
async def engine_harness(
    limits: Limits | None = None, transport: TransportChoice = TransportChoice.SPDY
) -> AsyncIterator[EngineHarness]:
    limits = limits or Limits()
    async with running_cluster() as cluster, pool_to(cluster, limits, transport=transport) as pool:
        harness = EngineHarness(cluster, limits, pool)
        try:
            yield harness
        finally:
            for connection in harness.connections:
                connection.abort(Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED))
            for client in harness.clients:
                client.close()
            await asyncio.gather(*harness.tasks)


async def receive(client: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(client, 65536)
        if not piece:
            break
        data += piece
    return data
