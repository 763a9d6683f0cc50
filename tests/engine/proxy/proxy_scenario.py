"""An engine with a proxy over the real data path, to a fake cluster in this process."""

from __future__ import annotations

import asyncio

from tests.engine.fake_cluster import FakeCluster
from tests.support.fake_engine import FakeBackend, FakeDirectory, pod
from tui_forward.engine.engine import Engine
from tui_forward.model import DeclaredPort, Forward, ProxySpec, Service


class ProxyScenario:
    """An engine with one proxy, and services in namespace shop."""

    def __init__(self, cluster: FakeCluster, engine: Engine, backend: FakeBackend) -> None:
        self.cluster = cluster
        self.engine = engine
        self.backend = backend
        self.proxy_id = ""

    @property
    def names(self) -> FakeDirectory:
        return self.backend.names

    @property
    def port(self) -> int:
        (info,) = self.engine.proxies()
        return info.listening[0].port

    @property
    def forward(self) -> Forward:
        (forward,) = self.engine.forwards()
        return forward

    def add(self, name: str, port: int) -> None:
        ports = (DeclaredPort(number=port, name="http"),)
        self.names.add(Service(namespace="shop", name=name, selector=f"app={name}", ports=ports))
        self.backend.resolutions[name] = pod(f"{name}-1", port)

    async def start(self, **fields: object) -> None:
        spec = ProxySpec(context="here", namespace="shop", port=0, **fields)  # type: ignore[arg-type]
        self.proxy_id = await self.engine.start_proxy(spec)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, data: bytes) -> bytes:
        """Return everything that a client gets which sends this, and then waits."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 60)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()

    async def socks(
        self, host: str, port: int
    ) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the reply code, and the connection."""
        reader, writer = await self.connect()
        writer.write(b"\x05\x01\x00")
        assert await reader.readexactly(2) == b"\x05\x00"
        name = host.encode()
        writer.write(b"\x05\x01\x00\x03" + bytes((len(name),)) + name + port.to_bytes(2, "big"))
        reply = await reader.readexactly(10)
        return reply[1], reader, writer
