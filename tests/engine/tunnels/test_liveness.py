from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.liveness import LivenessMonitor
from tui_forward.errors import TuiForwardError

PATIENT = replace(Limits(), ping_every_s=0.01)
LIMITS = replace(PATIENT, silence_s=0.05)


class FakeTunnel:
    """Tunnel that counts PINGs and records why it was aborted."""

    def __init__(self) -> None:
        self.last_received_at = asyncio.get_running_loop().time()
        self.is_monitored = True
        self.oldest_ping_at: float | None = None
        self.pings = 0
        self.blocked = False
        self.error: TuiForwardError | None = None

    def send_ping(self) -> None:
        self.pings += 1
        if self.oldest_ping_at is None:
            self.oldest_ping_at = asyncio.get_running_loop().time()

    def answer(self) -> None:
        self.oldest_ping_at = None
        self.last_received_at = asyncio.get_running_loop().time()

    def expire_channels(self, opened_before: float) -> None: ...

    def may_be_blocked(self) -> bool:
        return self.blocked

    def abort(self, error: TuiForwardError) -> None:
        self.error = error
        self.is_monitored = False


@pytest.fixture
async def tunnel() -> FakeTunnel:
    return FakeTunnel()


@pytest.fixture
async def monitor(tunnel: FakeTunnel) -> AsyncIterator[LivenessMonitor]:
    monitor = LivenessMonitor(tunnel, LIMITS)
    yield monitor
    monitor.stop()


async def test_answered_pings_keep_the_tunnel(tunnel: FakeTunnel) -> None:
    monitor = LivenessMonitor(tunnel, PATIENT)
    monitor.start()
    for _ in range(10):
        pings = tunnel.pings
        await until(lambda pings=pings: tunnel.pings > pings)  # type: ignore[misc]
        tunnel.answer()
    assert tunnel.error is None
    monitor.stop()


async def test_unanswered_pings_end_the_tunnel(
    tunnel: FakeTunnel, monitor: LivenessMonitor
) -> None:
    monitor.start()
    await until(lambda: tunnel.error is not None)


async def test_blocked_or_unread_tunnel_is_not_ended(
    tunnel: FakeTunnel, monitor: LivenessMonitor
) -> None:
    tunnel.blocked = True
    monitor.start()
    await asyncio.sleep(0.1)
    assert tunnel.error is None
    tunnel.is_monitored = False
    pings = tunnel.pings
    await asyncio.sleep(0.05)
    assert tunnel.pings == pings


async def test_probe_ends_a_silent_tunnel(tunnel: FakeTunnel, monitor: LivenessMonitor) -> None:
    monitor.probe(0.01)
    assert tunnel.pings == 1
    tunnel.answer()
    await asyncio.sleep(0.03)
    assert tunnel.error is None
    monitor.probe(0.01)
    await until(lambda: tunnel.error is not None)
