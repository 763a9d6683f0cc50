from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.engine.chain import (
    ECHO,
    FakeAccess,
    Chain,
    running_chain,
)
from tests.support.waiting import until
from tui_forward.engine.connection import LocalConnection
from tui_forward.engine.counters import ForwardCounters
from tui_forward.engine.limits import Limits
from tui_forward.engine.pool import TransportMemory, TunnelPool
from tui_forward.errors import ForwardError
from tui_forward.model import ConnectionState, PodRef, TransportChoice

POD = PodRef(namespace="shop", name="web-1", uid="u1")


class FakeGate:
    """A forward with a pool that is always the same one."""

    def __init__(self, pool: TunnelPool) -> None:
        self._pool = pool
        self.counters = ForwardCounters()
        self.failures: list[ForwardError] = []
        self.gone: list[ForwardError] = []
        self.ready = True
        self.open = asyncio.Event()
        self.open.set()

    async def pool(self) -> TunnelPool:
        await self.open.wait()
        return self._pool

    def refusal_is_final(self, failure: ForwardError) -> bool:
        return self.ready

    def connection_failed(self, failure: ForwardError) -> None:
        self.failures.append(failure)

    def sandbox_gone(self, failure: ForwardError) -> None:
        self.gone.append(failure)


class Bench:
    """A chain, a pool to it, and connections through it."""

    def __init__(self, chain: Chain, limits: Limits, transport: TransportChoice) -> None:
        self.chain = chain
        self.limits = limits
        self.pool = TunnelPool(
            FakeAccess(chain),
            transport=transport,
            memory=TransportMemory(),
            limits=limits,
            on_change=lambda: None,
        )
        self.gate = FakeGate(self.pool)
        self.connections: list[LocalConnection] = []
        self.tasks: list[asyncio.Task[None]] = []

    def accept(self, *, park_s: float = 5.0, linger_s: float = 0.2) -> socket.socket:
        """A client's socket whose other end is a running connection."""
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        local, _ = listener.accept()
        listener.close()
        client.setblocking(False)
        connection = LocalConnection(
            local,
            connection_id=len(self.connections) + 1,
            forward_id="f1",
            client="127.0.0.1:1",
            gate=self.gate,
            limits=self.limits,
            park_s=park_s,
            linger_s=linger_s,
        )
        self.connections.append(connection)
        self.tasks.append(asyncio.create_task(connection.run()))
        return client

    async def open(self, port: int) -> None:
        await self.pool.connect(POD, port)


@contextlib.asynccontextmanager
async def bench(
    limits: Limits | None = None, transport: TransportChoice = TransportChoice.SPDY
) -> AsyncIterator[Bench]:
    async with running_chain() as chain:
        made = Bench(chain, limits or Limits(), transport)
        try:
            yield made
        finally:
            for connection in made.connections:
                connection.abort("test over")
            await asyncio.gather(*made.tasks)
            await made.pool.close()


async def receive(client: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(client, 65536)
        if not piece:
            break
        data += piece
    return data


@pytest.mark.parametrize(
    "transport", [TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS]
)
async def test_bytes_come_back_and_are_counted(transport: TransportChoice) -> None:
    async with bench(transport=transport) as made:
        await made.open(ECHO)
        client = made.accept()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"x" * 100_000)
        assert await receive(client, 100_000) == b"x" * 100_000
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 1) == b""
        client.close()
        await made.tasks[0]
        seen = made.connections[0].snapshot(0)
        assert (seen.bytes_from_pod, seen.bytes_to_pod) == (100_000, 100_000)
        assert seen.state is ConnectionState.CLOSED
        assert not seen.failed
        assert made.gate.counters.bytes_from_pod == 100_000
        await until(lambda: made.pool.tunnels <= 2)
