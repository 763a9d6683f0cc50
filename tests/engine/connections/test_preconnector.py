from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.engine.fake_cluster import ECHO, GREETER
from tests.engine.harness import OTHER_POD, POD, EngineHarness, engine_harness, receive
from tests.support.waiting import until
from tui_forward.engine.connections import preconnector as module
from tui_forward.engine.connections.preconnector import Preconnector, SpareChannel
from tui_forward.engine.tunnels.base import ChannelHandler
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.model import PodRef, ReasonCode, TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure

AGE_S = 5.0


class FakeChannel:
    """Channel that the server has accepted."""

    acknowledged = True

    def __init__(self, handler: ChannelHandler) -> None:
        self.handler = handler
        self.aborted = False

    def flush(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


class FakePool:
    """Pool that opens any number of channels."""

    def __init__(self) -> None:
        self.pod: PodRef | None = POD
        self.channels: list[FakeChannel] = []

    def try_open(self, handler: ChannelHandler) -> FakeChannel:
        self.channels.append(FakeChannel(handler))
        return self.channels[-1]

    @property
    def open(self) -> list[FakeChannel]:
        return [channel for channel in self.channels if not channel.aborted]


class Scenario:
    """A preconnector on a fake pool, with a clock that the test moves."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(module, "_FILL_DELAY_S", 0.0)
        self.pool: FakePool | None = FakePool()
        self.preconnector = Preconnector(
            count, max_age_s=AGE_S, usable_pool=lambda: cast("TunnelPool", self.pool)
        )

    @property
    def ready(self) -> int:
        status = self.preconnector.status
        assert status is not None
        return status.ready

    async def start(self) -> None:
        self.preconnector.start()
        await self.settle()

    async def settle(self) -> None:
        """Wait until what was taken is replaced."""
        await until(lambda: self.preconnector._filling is None)
        await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the timer run if it is due."""
        self.now += seconds
        self.preconnector._expire()
        await self.settle()

    def spare(self, index: int = 0) -> SpareChannel:
        return self.preconnector._spares[index]

    async def take(self) -> SpareChannel | None:
        spare = self.preconnector.take(POD)
        await self.settle()
        return spare


@pytest.fixture
async def scenario(monkeypatch: pytest.MonkeyPatch) -> Any:
    scenario = Scenario(2, monkeypatch)
    yield scenario
    scenario.preconnector.drop()


async def test_channels_are_used_once_others_have_lasted(scenario: Scenario) -> None:
    assert scenario.pool is not None
    await scenario.start()
    assert len(scenario.pool.open) == 2
    assert scenario.ready == 0
    assert await scenario.take() is None, "nothing shows yet that the server bears it"
    await scenario.pass_time(AGE_S)
    assert len(scenario.pool.channels) == 4, "those that are too old are replaced"
    assert len(scenario.pool.open) == 2
    assert scenario.ready == 2
    oldest = scenario.spare()
    assert await scenario.take() is oldest
    assert len(scenario.pool.open) == 3, "what was taken is replaced"
    await scenario.pass_time(AGE_S - 0.5)
    assert scenario.ready == 0, "the server may have closed it, which the runtime reports later"


async def test_unused_channels_are_not_replaced_for_long(scenario: Scenario) -> None:
    assert scenario.pool is not None
    await scenario.start()
    for _ in range(20):
        await scenario.pass_time(AGE_S)
    assert not scenario.pool.open
    assert await scenario.take() is None
    assert len(scenario.pool.open) == 2


@pytest.mark.parametrize("ends", ["eof", "closed", "reset", "talks"])
async def test_server_that_ends_one_soon_is_left_alone(scenario: Scenario, ends: str) -> None:
    assert scenario.pool is not None
    await scenario.start()
    await scenario.pass_time(AGE_S)
    scenario.now += 1.9  # 0.9 s, and the second of the runtime
    spare = scenario.spare()
    if ends == "eof":
        spare.eof_received()
    elif ends == "closed":
        spare.closed(None)
    elif ends == "reset":
        spare.closed(PortForwardFailure(code=ReasonCode.PORT_RESET, port=80))
    else:
        spare.data_received([memoryview(bytes(20_000))])
    status = scenario.preconnector.status
    assert status is not None
    assert status.off
    assert await scenario.take() is None
    await scenario.pass_time(AGE_S)
    await scenario.start()
    assert not [one for one in scenario.pool.open if one.handler is not spare]


async def test_server_that_ends_silent_ones_later_gets_younger_ones(scenario: Scenario) -> None:
    await scenario.start()
    scenario.now += 4.6
    scenario.spare().eof_received()
    status = scenario.preconnector.status
    assert status is not None
    assert not status.off
    assert status.max_age_s == pytest.approx(1.8)  # half of the 3.6 s before the runtime's second
    await scenario.start()
    await scenario.pass_time(2.0)
    assert scenario.ready == 2


async def test_refusal_and_lost_tunnel_are_not_repeated_and_prove_nothing(
    scenario: Scenario,
) -> None:
    assert scenario.pool is not None
    await scenario.start()
    for code in (ReasonCode.PORT_REFUSED, ReasonCode.TUNNEL_LOST):
        scenario.spare().closed(PortForwardFailure(code=code, port=80))
    await scenario.pass_time(AGE_S)
    assert len(scenario.pool.channels) == 2
    status = scenario.preconnector.status
    assert status is not None
    assert not status.off
    await scenario.take()
    assert len(scenario.pool.channels) == 4


async def test_channels_to_another_pod_are_not_used(scenario: Scenario) -> None:
    assert scenario.pool is not None
    await scenario.start()
    await scenario.pass_time(AGE_S)
    assert scenario.preconnector.take(OTHER_POD) is None
    scenario.preconnector.drop()
    assert not scenario.pool.open
    await scenario.start()
    assert scenario.ready == 0, "the next pod has to show it again"


async def test_nothing_is_opened_unless_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(0, monkeypatch)
    assert scenario.pool is not None
    await scenario.start()
    assert await scenario.take() is None
    assert not scenario.pool.channels
    assert scenario.preconnector.status is None


async def test_pool_that_is_down_is_waited_for(scenario: Scenario) -> None:
    scenario.pool = None
    await scenario.start()
    pool = scenario.pool = FakePool()
    await scenario.start()
    assert len(pool.open) == 2


async def prepare(harness: EngineHarness, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a channel ready that was opened ahead."""
    monkeypatch.setattr(module, "_LINGER_S", 0.0)
    await harness.open(port)
    harness.owner.preconnector = Preconnector(
        1, max_age_s=5.0, usable_pool=harness.owner.usable_pool
    )
    harness.owner.preconnector.start()
    await until(lambda: port in harness.cluster.opened)
    harness.owner.preconnector._is_proven = True

    def is_ready() -> bool:
        status = harness.owner.preconnector.status
        return status is not None and bool(status.ready)

    await until(is_ready)


@pytest.mark.parametrize("transport", [TransportChoice.SPDY, TransportChoice.WEBSOCKET])
async def test_client_gets_a_channel_opened_ahead(
    transport: TransportChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_harness(transport=transport) as harness:
        await prepare(harness, ECHO, monkeypatch)
        channel = harness.owner.preconnector._spares[0].channel
        client = harness.accept(first=b"early")
        assert channel is not None
        assert channel.handler is harness.connections[0]
        assert await receive(client, 5) == b"early"
        client.send(b"later")
        assert await receive(client, 5) == b"later"
        client.close()
        await harness.tasks[0]
        assert harness.connections[0].snapshot(0).bytes_from_pod == 10
        harness.owner.preconnector.drop()


async def test_greeting_of_the_server_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine_harness() as harness:
        await prepare(harness, GREETER, monkeypatch)
        await until(lambda: harness.owner.preconnector._spares[0].greeting == b"hello")
        client = harness.accept()
        assert await receive(client, 5) == b"hello"
        snapshot = harness.connections[0].snapshot(0)
        assert snapshot.bytes_from_pod == 5
        assert harness.owner.counters.bytes_from_pod == 5
        client.close()
        harness.owner.preconnector.drop()


async def test_retry_after_a_channel_opened_ahead_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with engine_harness() as harness:
        await prepare(harness, ECHO, monkeypatch)
        client = harness.accept()
        harness.owner.preconnector.drop()
        # Nothing was sent, so another tunnel may serve the client.
        harness.cluster.cut()
        await harness.pool.wait_lost()
        await harness.open(ECHO)
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        client.close()
