from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace

import pytest

from tests.engine.fake_cluster import ECHO, running_cluster
from tests.engine.harness import (
    OTHER_POD,
    POD,
    IgnoringHandler,
    engine_harness,
    pool_to,
    receive,
)
from tests.support.reasons import because
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels import time_limit
from tui_forward.engine.tunnels.flow_control import WORKERS
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode, TransportChoice


async def test_pool_is_up_from_connect_to_loss() -> None:
    changes: list[bool] = []
    async with (
        running_cluster() as cluster,
        pool_to(cluster, Limits(), on_change=lambda: changes.append(pool.up)) as pool,
    ):
        assert not pool.up
        assert pool.transport is None
        await pool.connect(POD, ECHO)
        assert pool.up
        assert pool.tunnels >= 1
        assert pool.pod == POD
        assert pool.round_trip_s is not None
        assert changes[-1]
        lost = asyncio.create_task(pool.wait_lost())
        cluster.cut()
        error = await lost
        assert isinstance(error, TransportError)
        assert not pool.up
        assert not changes[-1]
        assert pool.transport is None
        # Returns at once while the pool is down.
        assert await pool.wait_lost() is error


async def test_spare_tunnel_is_kept() -> None:
    async with engine_harness(replace(Limits(), spare=2)) as harness:
        await harness.open(ECHO)
        await until(lambda: harness.pool.tunnels == 2)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await until(lambda: harness.pool.tunnels == 3)
        client.close()


async def test_connections_one_after_another_get_separate_tunnels() -> None:
    async with engine_harness(replace(Limits(), max_tunnels=8)) as harness:
        await harness.open(ECHO)
        for _ in range(6):
            client = harness.accept()
            client.send(b"x")
            assert await receive(client, 1) == b"x"
            await until(lambda: harness.pool._tunnels.count_idle())
        assert max(tunnel.load for tunnel in harness.pool._tunnels) == 1


async def test_many_connections_share_tunnels_without_sharing_workers() -> None:
    async with engine_harness(replace(Limits(), own_tunnels=3)) as harness:
        await harness.open(ECHO)
        for _ in range(4 * WORKERS):
            client = harness.accept()
            client.send(b"x")
            assert await receive(client, 1) == b"x"
            await until(lambda: harness.pool._tunnels.count_idle())
        loads = sorted(tunnel.load for tunnel in harness.pool._tunnels)
        assert loads[0] == 0, "the next connection finds a tunnel that none uses"
        assert loads[-1] <= WORKERS
        assert len(loads) <= 6


@pytest.mark.parametrize("count", [WORKERS, 50])
async def test_simultaneous_connections_do_not_wait_for_a_dial(count: int) -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        harness.cluster.hang = {"spdy"}  # no other tunnel will be up
        clients = [harness.accept() for _ in range(count)]
        for client in clients:
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        assert harness.pool.tunnels == 1
        await until(lambda: len(harness.cluster.requests) > 1)  # it is being dialed


async def test_connection_waits_for_a_dial_rather_than_share_a_worker() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        (tunnel,) = harness.pool._tunnels
        harness.cluster.hang = {"spdy"}
        for _ in range(WORKERS):
            client = harness.accept()
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        await until(lambda: len(harness.cluster.requests) == 1 + harness.pool._growth.dialing)
        dialing = harness.pool._growth.dialing
        assert dialing
        opening = [asyncio.create_task(harness.pool.open(IgnoringHandler())) for _ in range(5)]
        await until(lambda: sum(task.done() for task in opening) == 5 - dialing)
        assert len(harness.pool._waiters) == dialing
        assert tunnel.load == WORKERS + 5 - dialing
        # It waits for a moment only.
        await asyncio.gather(*opening)
        assert tunnel.load == WORKERS + 5


async def test_waiting_connections_are_served_one_by_one_when_a_tunnel_recovers() -> None:
    async with engine_harness(replace(Limits(), max_tunnels=1, spare=0)) as harness:
        await harness.open(ECHO)
        (tunnel,) = harness.pool._tunnels
        assert isinstance(tunnel, SpdyTunnel)
        tunnel.writing_paused()
        opening = [asyncio.create_task(harness.pool.open(IgnoringHandler())) for _ in range(20)]
        await until(lambda: len(harness.pool._waiters) == 20)
        opening[0].cancel()
        tunnel.writing_resumed()
        opening[1].cancel()  # as it was woken: the others do not depend on it
        await asyncio.gather(*opening[2:])
        assert tunnel.load == 18


async def test_beyond_the_maximum_tunnels_are_shared_evenly_except_the_sentinel() -> None:
    async with engine_harness(replace(Limits(), max_tunnels=4)) as harness:
        await harness.open(ECHO)
        clients = []
        for number in range(12):
            clients.append(harness.accept())
            clients[-1].send(b"x")
            assert await receive(clients[-1], 1) == b"x"
            if number == 3:
                # While tunnels are being dialed, the others are shared by more.
                await until(lambda: harness.pool.tunnels == 4)
        loads = sorted(tunnel.load for tunnel in harness.pool._tunnels)
        assert loads[0] == 0
        assert sum(loads) == 12
        assert loads[-1] <= 6
        for client in clients:
            client.close()


async def test_connection_waits_while_all_tunnels_are_stalled() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with engine_harness(replace(Limits(), max_tunnels=1, spare=0)) as harness:
        await harness.open(ECHO)
        (tunnel,) = harness.pool._tunnels
        assert isinstance(tunnel, SpdyTunnel)
        tunnel.writing_paused()
        client = harness.accept()
        client.send(b"x")
        # No dial is under way and the only tunnel is stalled: it checks again and again.
        await until(lambda: harness.pool._waiters)
        timers: list[asyncio.TimerHandle | None] = []

        def has_checked_again() -> bool:
            if harness.pool._waiters._timer not in timers:
                timers.append(harness.pool._waiters._timer)
            return len(timers) > 3

        await until(has_checked_again)
        tunnel.writing_resumed()
        assert await receive(client, 1) == b"x"
        client.close()
    assert not errors


async def test_idle_tunnels_are_closed_after_a_while() -> None:
    limits = replace(Limits(), tunnel_idle_s=0.1, max_spare=3)
    async with engine_harness(limits) as harness:
        await harness.open(ECHO)
        clients = [harness.accept() for _ in range(5)]
        for client in clients:
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        await until(lambda: len(harness.cluster.connections) > 1)  # some may be idle already
        for client in clients:
            client.close()
        await until(lambda: harness.pool.tunnels == 1)
        assert harness.pool.up
        await until(lambda: len(harness.cluster.live) == 1)


async def test_connections_finish_on_the_previous_pod() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await harness.pool.connect(OTHER_POD, ECHO)
        assert harness.pool.pod == OTHER_POD
        client.send(b"y")
        assert await receive(client, 1) == b"y"
        client.close()
        await harness.tasks[0]
        await until(lambda: len(harness.cluster.live) == harness.pool.tunnels)


async def test_connections_to_the_previous_pod_have_no_time_limit() -> None:
    async with engine_harness() as harness:
        loop = asyncio.get_running_loop()
        await harness.open(ECHO)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        delays: list[float] = []

        def call_later(delay: float, *rest: object) -> asyncio.TimerHandle:
            delays.append(delay)
            return loop.call_at(loop.time() + delay, *rest)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", call_later)
            harness.pool.disconnect(because("the pod is not Ready"))
        assert not delays, "nothing is to end the connection later"
        client.send(b"y")
        assert await receive(client, 1) == b"y"
        client.close()
        await harness.tasks[0]
        await until(lambda: not harness.cluster.live)


async def test_idle_tunnel_shows_the_path_of_a_busy_one_while_draining() -> None:
    async with engine_harness(replace(Limits(), spare=2, max_spare=2)) as harness:
        await harness.open(ECHO)
        await until(lambda: harness.pool.tunnels == 2)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await until(lambda: harness.pool.tunnels == 3)
        busy = next(tunnel for tunnel in harness.pool._tunnels if tunnel.channels)
        await harness.pool.connect(OTHER_POD, ECHO)
        draining = set(harness.pool._draining)
        assert len(draining) == 2
        assert harness.pool.path_is_alive(busy)
        (idle,) = draining - {busy}
        harness.pool.tunnel_changed(idle)  # its round trip was measured
        assert set(harness.pool._draining) == draining
        idle.last_received_at = -math.inf
        assert not harness.pool.path_is_alive(busy), "tunnels to another pod prove nothing"
        client.close()
        await harness.tasks[0]
        assert not set(harness.pool._draining)
        await until(lambda: len(harness.cluster.live) == harness.pool.tunnels)


async def test_dials_and_losses_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with engine_harness(replace(Limits(), spare=1)) as harness:
        await harness.open(ECHO)
        harness.cluster.cut()
        await harness.pool.wait_lost()
    messages = [record.getMessage() for record in caplog.records]
    dialed = f"(test): dialed shop/web-1:{ECHO} by spdy in"
    assert any(text.startswith(dialed) and text.endswith("tunnel up") for text in messages)
    assert any(text.startswith("(test): lost a tunnel, 0 left") for text in messages)


async def test_lost_tunnel_is_replaced() -> None:
    async with engine_harness(replace(Limits(), spare=2)) as harness:
        await harness.open(ECHO)
        await until(lambda: harness.pool.tunnels == 2)
        harness.cluster.live[0].transport.abort()
        await until(lambda: len(harness.cluster.requests) == 3)
        assert harness.pool.up
        await until(lambda: harness.pool.tunnels == 2)


async def test_disconnect_drains_and_abort_resets() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        harness.pool.disconnect(because("moving"))
        assert not harness.pool.up
        assert (await harness.pool.wait_lost()).message == "moving"
        assert harness.pool.tunnels == 0
        assert not harness.tasks[0].done()
        harness.pool.abort(because("enough"))
        await harness.tasks[0]
        assert "enough" in harness.connections[0].snapshot(0).close_reason
        client.close()


async def test_probe_detects_a_dead_path() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        for connection in harness.cluster.live:
            connection.muted = True
        harness.pool.probe(0.1)
        error = await asyncio.wait_for(harness.pool.wait_lost(), 60)
        assert "nothing has come through the tunnel" in error.message


async def test_silence_ends_a_tunnel() -> None:
    async with engine_harness(replace(Limits(), ping_every_s=0.05, silence_s=0.2)) as harness:
        await harness.open(ECHO)
        for connection in harness.cluster.live:
            connection.muted = True
        await asyncio.wait_for(harness.pool.wait_lost(), 60)


async def test_connection_waiting_while_the_pool_is_down_uses_the_next_tunnel() -> None:
    async with engine_harness(replace(Limits(), max_tunnels=1, spare=0)) as harness:
        await harness.open(ECHO)
        harness.pool.disconnect(because("moving"))
        client = harness.accept()
        client.send(b"x")
        await harness.pool.connect(OTHER_POD, ECHO)
        assert await receive(client, 1) == b"x"
        client.close()


async def test_legacy_transport_dials_for_each_connection() -> None:
    async with engine_harness(transport=TransportChoice.CHANNELS) as harness:
        await harness.open(ECHO)
        assert harness.pool.up
        assert harness.pool.tunnels == 0
        await until(lambda: not harness.cluster.live)
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        assert harness.pool.tunnels == 1
        client.close()
        await harness.tasks[0]
        await until(lambda: harness.pool.tunnels == 0)
        assert harness.pool.up
        harness.cluster.refuse = {"channels": (404, "pod does not exist")}
        lost = asyncio.create_task(harness.pool.wait_lost())
        client = harness.accept(queue_timeout_s=0.2)
        assert "does not exist" in (await lost).message
        await harness.tasks[1]
        client.close()


async def test_closed_pool_cannot_be_used() -> None:
    async with running_cluster() as cluster:
        async with pool_to(cluster, Limits()) as pool:
            await pool.connect(POD, ECHO)
        assert not pool.up
        await pool.close()
        with pytest.raises(TransportError):
            await pool.connect(POD, ECHO)
        await until(lambda: not cluster.live)


async def test_transport_cache_is_per_cluster() -> None:
    cache = TransportCache()
    cache.set("a", TransportChoice.CHANNELS)
    assert cache.get("b") is None
    cache.evict("a")
    assert cache.get("a") is None


@pytest.mark.parametrize("transport", [TransportChoice.SPDY, TransportChoice.WEBSOCKET])
async def test_tunnel_that_stays_open_and_silent_is_replaced(transport: TransportChoice) -> None:
    # As a WebSocket does when the container runtime behind it dies.
    limits = replace(Limits(), ping_every_s=0.02, silence_s=0.1)
    async with engine_harness(limits, transport) as harness:
        await harness.open(ECHO)
        for connection in harness.cluster.live:
            connection.muted = True
        error = await harness.pool.wait_lost()
        assert error.code is ReasonCode.TUNNEL_SILENT
        await harness.open(ECHO)
        assert harness.pool.up


async def test_tunnels_cut_at_the_same_age_name_a_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_limit, "_MIN_AGE_S", 0.0)
    monkeypatch.setattr(time_limit, "_TOGETHER_S", 0.0)
    async with engine_harness(replace(Limits(), spare=0)) as harness:
        for _ in range(3):
            await harness.open(ECHO)
            asyncio.get_running_loop().call_later(0.1, harness.cluster.cut)
            error = await harness.pool.wait_lost()
        assert error.code is ReasonCode.TUNNEL_TIME_LIMIT
