"""A forward over the real data path to a fake cluster; its target is what the test sets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.engine import fake_cluster
from tests.engine.fake_cluster import FakeCluster, running_cluster
from tests.support.fake_engine import FakeBackend, FakeWatch, pod
from tests.support.waiting import until
from tui_forward.engine.engine import Engine
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    Balance,
    Event,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Resolved,
    Target,
    TargetKind,
)
from tui_forward.transport.access import ServerAccess


class Scenario:
    """An engine with one forward, to deploy/web."""

    def __init__(self, cluster: FakeCluster, engine: Engine, backend: FakeBackend) -> None:
        self.cluster = cluster
        self.engine = engine
        self._backend = backend

    @property
    def watch(self) -> FakeWatch:
        return self._backend.watches["web"]

    @property
    def forward(self) -> Forward:
        (forward,) = self.engine.forwards()
        return forward

    @property
    def codes(self) -> list[ReasonCode]:
        return [warning.code for warning in self.forward.warnings]

    async def start(
        self, port: int, resolved: Resolved | None = None, *, balance: Balance = Balance.ONE
    ) -> None:
        self._backend.resolutions["web"] = resolved or pod("web-1", port)
        target = Target(
            context="here",
            namespace="shop",
            kind=TargetKind.DEPLOYMENT,
            name="web",
            port="80",
            balance=balance,
        )
        self.engine.start(ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",)))
        await until(lambda: self.forward.state is ForwardState.READY)

    async def events(self) -> list[Event]:
        """Return all events so far."""
        found: list[Event] = []
        reader = self.engine.events()
        with contextlib.suppress(TimeoutError, StopAsyncIteration):
            while True:
                found.append(await asyncio.wait_for(anext(reader), 0.05))
        return found

    async def connect(self, data: bytes = b"x") -> bytes:
        """Return the first byte that comes back; empty at the end of the connection."""
        address = self.forward.listening[0]
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                return await reader.read(1)
            return b""
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def running_scenario() -> AsyncIterator[Scenario]:
    class Backend(FakeBackend):
        def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
            return fake_cluster.FakeAccess(cluster)

    backend = Backend()
    async with running_cluster() as cluster:
        engine = Engine(backend, monitor_system=False)
        try:
            yield Scenario(cluster, engine, backend)
        finally:
            await engine.close()
