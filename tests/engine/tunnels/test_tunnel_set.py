from __future__ import annotations

import asyncio
import math
import time

from tui_forward.engine.tunnels.base import Channel, ChannelHandler, Tunnel
from tui_forward.engine.tunnels.flow_control import WORKERS
from tui_forward.engine.tunnels.tunnel_set import TunnelSet
from tui_forward.errors import TuiForwardError


class FakeTunnel(Tunnel):
    """Tunnel with a state that the test sets."""

    up = True
    stalled = False
    suspect = False
    stuck = False

    def __init__(self, load: int = 0) -> None:
        self.load = load

    @property
    def channels(self) -> int:
        return self.load

    def open(self, handler: ChannelHandler) -> Channel:
        raise NotImplementedError

    def probe(self, within_s: float) -> None: ...

    def close(self) -> None: ...

    def abort(self, error: TuiForwardError) -> None: ...

    async def wait_closed(self) -> None: ...


def set_of(*tunnels: FakeTunnel, own_tunnels: int = 4, max_tunnels: int = 4) -> TunnelSet:
    tunnel_set = TunnelSet(own_tunnels, max_tunnels)
    for tunnel in tunnels:
        tunnel_set.add(tunnel)
        tunnel_set.update(tunnel)
    return tunnel_set


async def test_most_recently_used_idle_tunnel_is_found() -> None:
    first, second = FakeTunnel(), FakeTunnel()
    tunnels = set_of(first)
    await asyncio.sleep(0.001)
    tunnels.add(second)
    assert tunnels.find_free() is second
    second.stalled = True
    assert tunnels.find_free() is first
    first.suspect = True
    assert tunnels.find_free() is None


async def test_last_idle_tunnel_at_the_maximum_is_the_sentinel() -> None:
    idle, busy = FakeTunnel(), FakeTunnel(load=1)
    assert set_of(idle, busy, max_tunnels=2).find_free() is None
    assert set_of(idle, busy, max_tunnels=3).find_free() is idle
    assert set_of(idle, max_tunnels=1).find_free() is idle


async def test_tunnel_with_a_worker_left_is_free_once_there_are_some() -> None:
    idle, light, heavy = FakeTunnel(), FakeTunnel(load=1), FakeTunnel(load=WORKERS)
    assert set_of(idle, light, heavy, own_tunnels=4, max_tunnels=9).find_free() is idle
    tunnels = set_of(idle, light, heavy, own_tunnels=3, max_tunnels=9)
    assert tunnels.find_free() is light
    light.bulk_at = time.monotonic()
    assert tunnels.find_free() is idle, "no connection shares with a bulk transfer by choice"
    light.bulk_at = -math.inf
    light.suspect = True
    assert tunnels.find_free() is idle
    light.suspect, light.stalled = False, True
    assert tunnels.find_free() is idle
    light.stalled, light.load = False, WORKERS
    assert tunnels.find_free() is idle
    second = FakeTunnel()
    assert set_of(second, idle, light, own_tunnels=3, max_tunnels=9).find_free() in (idle, second)


async def test_least_loaded_busy_tunnel_is_shared() -> None:
    idle, light, heavy = FakeTunnel(), FakeTunnel(load=1), FakeTunnel(load=5)
    tunnels = set_of(idle, heavy, light)
    assert tunnels.find_shared() is light
    light.suspect = True
    assert tunnels.find_shared() is heavy
    heavy.stalled = True
    assert tunnels.find_shared() is idle
    idle.stalled = True
    assert tunnels.find_shared() is light, "if all others are stalled, a suspect one"
    light.stalled = True
    assert tunnels.find_shared() is None


async def test_tunnel_with_a_bulk_transfer_is_shared_later() -> None:
    bulk, quiet = FakeTunnel(load=1), FakeTunnel(load=5)
    tunnels = set_of(bulk, quiet)
    assert tunnels.find_shared() is bulk
    bulk.bulk_at = time.monotonic()
    assert tunnels.find_shared() is quiet
    quiet.load = 7
    assert tunnels.find_shared() is bulk


async def test_expired_tunnels_leave_the_spare_ones() -> None:
    tunnels = set_of(FakeTunnel(), FakeTunnel(), FakeTunnel(load=1))
    await asyncio.sleep(0.001)
    assert len(tunnels.find_expired(1, idle_s=0)) == 1
    assert tunnels.find_expired(2, idle_s=0) == []
    assert tunnels.find_expired(0, idle_s=60) == []


async def test_removed_tunnel_is_forgotten() -> None:
    tunnel = FakeTunnel()
    tunnels = set_of(tunnel)
    assert tunnel in tunnels
    assert tunnels.remove(tunnel)
    assert not tunnels.remove(tunnel)
    assert len(tunnels) == 0
