from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.support.fake_engine import FakeBackend, pod
from tests.support.waiting import until
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards import pool_dialer
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.dial_failure import dial_failure
from tui_forward.engine.forwards.pod_pools import PodPoolsObserver
from tui_forward.engine.forwards.pool_dialer import PoolDialer
from tui_forward.errors import TransportError
from tui_forward.model import ForwardSpec, Reason, ReasonCode, Target, TargetKind

TARGET = Target(context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="80")
POD = pod("web-1", 8080)
REASON = Reason(code=ReasonCode.FORWARD_RECONNECTING)


class Pool:
    """A pool whose `connect` ends as the test says."""

    created: list[Pool]

    def __init__(self, *_arguments: object, **_options: object) -> None:
        self.created.append(self)
        self.up = False
        self.error: BaseException | None = None
        self.may_connect = asyncio.Event()
        self.calls: list[str] = []
        self.close_delay_s = 0.0

    async def connect_to(self, _resolved: object) -> None:
        await self.may_connect.wait()
        if self.error is not None:
            raise self.error
        self.up = True

    def abort(self, _reason: Reason) -> None:
        self.calls.append("abort")

    def disconnect(self, _reason: Reason) -> None:
        self.calls.append("disconnect")

    def probe(self, _timeout_s: float) -> None:
        self.calls.append("probe")

    async def close(self) -> None:
        await asyncio.sleep(self.close_delay_s)
        self.calls.append("close")


class Scenario:
    def __init__(self) -> None:
        self.wake = AutoResetEvent()
        engine = type("Engine", (), {"transport_cache": None, "limits": None, "late_answers": None})
        ignore: Callable[[Any], None] = lambda _: None  # noqa: E731
        self.dialer = PoolDialer(
            ForwardSpec(target=TARGET), engine=cast("EngineContext", engine), wake=self.wake,
            forward_id="f1", on_change=lambda: None, on_late_answer=ignore, on_no_answer=ignore,
            observer=cast("PodPoolsObserver", None),
        )  # fmt: skip

    async def start(self) -> Pool:
        self.dialer.start(FakeBackend(), POD)
        await until(lambda: bool(Pool.created))
        return Pool.created[-1]


@pytest.fixture
async def scenario(monkeypatch: pytest.MonkeyPatch) -> Scenario:
    Pool.created = []
    monkeypatch.setattr(pool_dialer, "TunnelPool", Pool)
    return Scenario()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, None),
        (TransportError(Reason(code=ReasonCode.NETWORK_CLOSED)), ReasonCode.NETWORK_CLOSED),
        (RuntimeError("x"), ReasonCode.INTERNAL_ERROR),
        (asyncio.CancelledError(), ReasonCode.TUNNEL_NOT_OPEN),
    ],
)
async def test_dial_ends_once_and_wakes_the_forward(
    scenario: Scenario, error: BaseException | None, code: ReasonCode | None
) -> None:
    dialer, pool = scenario.dialer, await scenario.start()
    assert dialer.take_ended() is None
    assert dialer.is_dialing
    pool.error = error
    pool.may_connect.set()
    async with asyncio.timeout(60):
        await scenario.wake.wait(None)
    ended = dialer.take_ended()
    assert ended is not None
    failure = dial_failure(ended)
    assert (failure.code if failure is not None else None) == code
    assert (dialer.take_ended(), dialer.is_dialing, dialer.target) == (None, False, POD)


async def test_restart_ends_the_dial_without_a_failure(scenario: Scenario) -> None:
    dialer, pool = scenario.dialer, await scenario.start()
    dialer.restart(REASON)
    async with asyncio.timeout(60):
        await scenario.wake.wait(None)
    assert dialer.take_ended() is None
    assert (dialer.is_dialing, dialer.was_aborted, pool.calls) == (False, True, ["abort"])
    # The next dial uses the same pool.
    dialer.start(FakeBackend(), POD)
    assert not dialer.was_aborted
    pool.may_connect.set()
    await until(lambda: pool.up)
    assert len(Pool.created) == 1


async def test_what_needs_tunnels_does_nothing_without(scenario: Scenario) -> None:
    dialer = scenario.dialer
    dialer.probe()
    dialer.disconnect(REASON)
    dialer.abort(REASON)
    await dialer.stop()
    await dialer.close()
    pool = await scenario.start()
    dialer.probe()
    dialer.disconnect(REASON)
    assert pool.calls == []
    await dialer.stop()
    assert not dialer.is_dialing


async def test_close_takes_a_bounded_time(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_dialer, "_CLOSE_TIMEOUT_S", 0.01)
    pool = await scenario.start()
    pool.close_delay_s = 600.0
    await scenario.dialer.stop()
    async with asyncio.timeout(60):
        await scenario.dialer.close()
    scenario.dialer.forget()
    assert scenario.dialer.pool is None
