from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.engine.fake_cluster import ECHO, running_chain
from tests.engine.harness import OTHER_POD, POD, bench, pool_to, receive
from tests.support.reasons import because
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import TransportError
from tui_forward.model import TransportChoice


async def test_up_from_connect_to_loss() -> None:
    changes: list[bool] = []
    async with (
        running_chain() as chain,
        pool_to(chain, Limits(), on_change=lambda: changes.append(pool.up)) as pool,
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
        chain.cut()
        error = await lost
        assert isinstance(error, TransportError)
        assert not pool.up
        assert not changes[-1]
        assert pool.transport is None
        # Down already: answers at once.
        assert await pool.wait_lost() is error


async def test_a_spare_tunnel_is_kept_warm() -> None:
    async with bench(replace(Limits(), spare=2)) as made:
        await made.open(ECHO)
        await until(lambda: made.pool.tunnels == 2)
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await until(lambda: made.pool.tunnels == 3)
        client.close()


async def test_connections_at_once_get_tunnels_of_their_own() -> None:
    async with bench(replace(Limits(), max_tunnels=8, share_after_s=5)) as made:
        await made.open(ECHO)
        clients = [made.accept() for _ in range(6)]
        for client in clients:
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        pairs = [len(wire.tunnel.spdy._streams) for wire in made.chain.live]  # type: ignore[union-attr]
        assert max(pairs) <= 2  # one pair is two streams
        for client in clients:
            client.close()


async def test_beyond_the_maximum_they_share_evenly_and_one_idle_tunnel_stands_sentinel() -> None:
    async with bench(replace(Limits(), max_tunnels=4, share_after_s=0.3)) as made:
        await made.open(ECHO)
        clients = [made.accept() for _ in range(12)]
        for client in clients:
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        assert made.pool.tunnels == 4
        loads = sorted(tunnel.load for tunnel in made.pool._tunnels)
        assert loads[0] == 0
        assert sum(loads) == 12
        assert loads[-1] <= 6
        for client in clients:
            client.close()


async def test_who_waits_for_stalled_tunnels_waits_on_and_gets_the_first_that_is_free() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with bench(replace(Limits(), max_tunnels=1, spare=0)) as made:
        await made.open(ECHO)
        (tunnel,) = made.pool._tunnels
        assert isinstance(tunnel, SpdyTunnel)
        tunnel.writing_paused()
        client = made.accept()
        client.send(b"x")
        # Nobody dials and no tunnel can be had: it looks again and again.
        await until(lambda: made.pool._waiters)
        looks: list[asyncio.TimerHandle | None] = []

        def looked() -> bool:
            if made.pool._waiters._timer not in looks:
                looks.append(made.pool._waiters._timer)
            return len(looks) > 3

        await until(looked)
        tunnel.writing_resumed()
        assert await receive(client, 1) == b"x"
        client.close()
    assert not errors


async def test_idle_tunnels_are_closed_after_a_while() -> None:
    limits = replace(Limits(), tunnel_idle_s=0.1, max_spare=3)
    async with bench(limits) as made:
        await made.open(ECHO)
        clients = [made.accept() for _ in range(5)]
        for client in clients:
            client.send(b"x")
            assert await receive(client, 1) == b"x"
        assert made.pool.tunnels >= 3
        for client in clients:
            client.close()
        await until(lambda: made.pool.tunnels == 1)
        assert made.pool.up
        await until(lambda: len(made.chain.live) == 1)


async def test_another_pod_lets_connections_finish_on_the_old_one() -> None:
    async with bench() as made:
        await made.open(ECHO)
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await made.pool.connect(OTHER_POD, ECHO)
        assert made.pool.pod == OTHER_POD
        client.send(b"y")
        assert await receive(client, 1) == b"y"
        client.close()
        await made.tasks[0]
        await until(lambda: len(made.chain.live) == made.pool.tunnels)


async def test_finishing_on_the_old_pod_is_bounded() -> None:
    async with bench(replace(Limits(), drain_s=0.1)) as made:
        await made.open(ECHO)
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        await made.pool.connect(OTHER_POD, ECHO)
        await asyncio.wait_for(made.tasks[0], 5)
        assert made.connections[0].failed
        client.close()


async def test_one_lost_tunnel_of_several_is_replaced() -> None:
    async with bench(replace(Limits(), spare=2)) as made:
        await made.open(ECHO)
        await until(lambda: made.pool.tunnels == 2)
        made.chain.live[0].transport.abort()
        await until(lambda: len(made.chain.requests) == 3)
        assert made.pool.up
        await until(lambda: made.pool.tunnels == 2)


async def test_disconnect_and_abort() -> None:
    async with bench() as made:
        await made.open(ECHO)
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        made.pool.disconnect(because("moving"))
        assert not made.pool.up
        assert (await made.pool.wait_lost()).message == "moving"
        assert made.pool.tunnels == 0
        assert not made.tasks[0].done()
        made.pool.abort(because("enough"))
        await made.tasks[0]
        assert "enough" in made.connections[0].snapshot(0).close_reason
        client.close()


async def test_a_probe_finds_a_dead_path() -> None:
    async with bench() as made:
        await made.open(ECHO)
        for wire in made.chain.live:
            wire.muted = True
        made.pool.probe(0.1)
        error = await asyncio.wait_for(made.pool.wait_lost(), 5)
        assert "nothing has come through the tunnel" in error.message


async def test_silence_ends_a_tunnel() -> None:
    async with bench(replace(Limits(), ping_every_s=0.05, silence_s=0.2)) as made:
        await made.open(ECHO)
        for wire in made.chain.live:
            wire.muted = True
        await asyncio.wait_for(made.pool.wait_lost(), 5)


async def test_a_connection_that_waits_while_the_pool_goes_down_goes_to_the_next() -> None:
    async with bench(replace(Limits(), max_tunnels=1, spare=0)) as made:
        await made.open(ECHO)
        made.pool.disconnect(because("moving"))
        client = made.accept()
        client.send(b"x")
        await made.pool.connect(OTHER_POD, ECHO)
        assert await receive(client, 1) == b"x"
        client.close()


async def test_the_legacy_transport_dials_for_each_connection() -> None:
    async with bench(transport=TransportChoice.CHANNELS) as made:
        await made.open(ECHO)
        assert made.pool.up
        assert made.pool.tunnels == 0
        await until(lambda: not made.chain.live)
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        assert made.pool.tunnels == 1
        client.close()
        await made.tasks[0]
        await until(lambda: made.pool.tunnels == 0)
        assert made.pool.up
        made.chain.refuse = {"channels": (404, "pod does not exist")}
        lost = asyncio.create_task(made.pool.wait_lost())
        client = made.accept(queue_timeout_s=0.2)
        assert "does not exist" in (await lost).message
        await made.tasks[1]
        client.close()


async def test_a_closed_pool_cannot_be_used() -> None:
    async with running_chain() as chain:
        async with pool_to(chain, Limits()) as pool:
            await pool.connect(POD, ECHO)
        assert not pool.up
        await pool.close()
        with pytest.raises(TransportError):
            await pool.connect(POD, ECHO)
        await until(lambda: not chain.live)


async def test_cache_is_per_cluster() -> None:
    cache = TransportCache()
    cache.set("a", TransportChoice.CHANNELS)
    assert cache.get("b") is None
    cache.evict("a")
    assert cache.get("a") is None
