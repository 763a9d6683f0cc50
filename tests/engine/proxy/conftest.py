from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engine import fake_cluster
from tests.engine.fake_cluster import ECHO
from tests.engine.proxy.proxy_scenario import ProxyScenario
from tests.support.fake_engine import FakeBackend
from tui_forward.engine.engine import Engine
from tui_forward.model import NO_OPTIONS, AccessOptions
from tui_forward.transport.access import ServerAccess


@pytest.fixture
async def scenario() -> AsyncIterator[ProxyScenario]:
    class Backend(FakeBackend):
        def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
            return fake_cluster.FakeAccess(cluster)

    backend = Backend()
    async with fake_cluster.running_cluster() as cluster:
        engine = Engine(backend, monitor_system=False)
        scenario = ProxyScenario(cluster, engine, backend)
        scenario.add("web", ECHO)
        try:
            yield scenario
        finally:
            await engine.close()
            assert backend.names.is_closed or not scenario.proxy_id
