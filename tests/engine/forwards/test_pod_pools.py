from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from msgspec.structs import replace

from tests.support.fake_engine import pod
from tests.support.waiting import until
from tui_forward.engine.forwards import pod_pools
from tui_forward.engine.forwards.pod_pools import PodPools
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import (
    PodRef,
    PodShareState,
    Reason,
    ReasonCode,
    Resolved,
    TransportChoice,
)

REASON = Reason(code=ReasonCode.FORWARD_RECONNECTING)
REFUSED = TransportError(Reason(code=ReasonCode.NETWORK_REFUSED))


class Pool:
    """A pool whose dials end as the test says; its connections are a number."""

    def __init__(self, cluster: Cluster, on_change: Callable[[], None]) -> None:
        self.up = False
        self.connections = 0
        self.tunnels = 0
        self.round_trip_s = 0.001
        self.transport: TransportChoice | None = TransportChoice.SPDY
        self.pod: PodRef | None = None
        self.last_error: TuiForwardError = TransportError("never connected")
        self.closed = False
        self._cluster = cluster
        self._on_change = on_change

    async def connect(self, pod: PodRef, port: int) -> None:
        self.pod = pod
        self._cluster.dialed.append(pod.name)
        self._cluster.pools[pod.name] = self
        await self._cluster.answers.setdefault(pod.name, _set_event()).wait()
        if pod.name in self._cluster.failing:
            self.last_error = REFUSED
            raise REFUSED
        self.up, self.tunnels = True, 1
        self._on_change()

    def disconnect(self, reason: Reason) -> None:
        self.lose(reason)

    def abort(self, reason: Reason) -> None:
        self.connections = 0
        self.lose(reason)

    def lose(self, reason: Reason = REASON) -> None:
        self.tunnels = 0
        if self.up:
            self.up = False
            self.last_error = TransportError(reason)
            self._on_change()

    async def close(self) -> None:
        self.closed = True


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


class Cluster:
    """The pods, and what the pools report about them."""

    def __init__(self) -> None:
        self.dialed: list[str] = []
        self.pools: dict[str, Pool] = {}
        self.answers: dict[str, asyncio.Event] = {}
        self.failing: set[str] = set()
        self.reports: list[str] = []
        self.changes = 0
        self.all = PodPools(
            lambda on_change: cast("TunnelPool", Pool(self, on_change)),
            parallel_dials=2,
            on_change=self._changed,
            observer=self,
        )

    def _changed(self) -> None:
        self.changes += 1

    def pod_joined(self, pod: PodRef, count: int) -> None:
        self.reports.append(f"{pod.name} joined, {count}")

    def pod_left(self, pod: PodRef, count: int) -> None:
        self.reports.append(f"{pod.name} left, {count}")

    def pod_lost(self, pod: PodRef, error: TuiForwardError) -> None:
        self.reports.append(f"{pod.name}: {error.code}")

    def select(self, client: str = "127.0.0.1:1", *, keep: bool = True) -> str:
        """Return the pod of a new connection, which stays open."""
        pool = cast("Pool", self.all.select(client))
        pool.connections += keep
        assert pool.pod is not None
        return pool.pod.name

    def states(self) -> dict[str, PodShareState]:
        return {share.pod.name: share.state for share in self.all.shares}

    async def connect(self, *names: str) -> None:
        await self.all.connect_to(resolved(*names))
        await until(lambda: self.all.tunnels == len(names))


def resolved(*names: str, affinity_s: int = 0) -> Resolved:
    first, *others = (pod(name, 8080) for name in names)
    return replace(first, others=tuple(others), affinity_s=affinity_s)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    yield made
    await made.all.close()


async def test_connections_go_to_the_pod_with_the_fewest(cluster: Cluster) -> None:
    await cluster.connect("a", "b", "c")
    assert [cluster.select() for _ in range(3)] == ["a", "b", "c"]
    cluster.pools["b"].connections -= 1
    assert [cluster.select() for _ in range(4)] == ["b", "a", "c", "b"]


async def test_first_pod_that_answers_is_enough(cluster: Cluster) -> None:
    cluster.answers["a"] = asyncio.Event()
    await cluster.all.connect_to(resolved("a", "b"))
    assert cluster.all.up
    assert cluster.states() == {"a": PodShareState.CONNECTING, "b": PodShareState.READY}
    assert cluster.select() == "b"
    cluster.answers["a"].set()
    await until(lambda: cluster.all.tunnels == 2)
    assert cluster.select() == "a"


async def test_pods_that_cannot_be_reached_do_not_matter(cluster: Cluster) -> None:
    cluster.failing = {"a", "b"}
    await cluster.all.connect_to(resolved("a", "b", "c"))
    assert cluster.select() == "c"
    assert "a: network.refused" in cluster.reports
    cluster.failing = set()
    await until(lambda: cluster.all.tunnels == 3)


async def test_failure_of_all_pods_is_that_of_the_first(cluster: Cluster) -> None:
    cluster.failing = {"a", "b", "c"}
    with pytest.raises(TransportError, match=REFUSED.message):
        await cluster.all.connect_to(resolved("a", "b", "c"))
    assert sorted(cluster.dialed) == ["a", "b", "c"]
    assert not cluster.all.up
    cluster.failing = set()
    await cluster.connect("a", "b", "c")


async def test_canceled_dial_leaves_the_pools_down(cluster: Cluster) -> None:
    cluster.answers["a"] = asyncio.Event()
    dial = asyncio.create_task(cluster.all.connect_to(resolved("a")))
    await until(lambda: bool(cluster.dialed))
    dial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dial
    cluster.answers["a"].set()
    assert not cluster.all.up
    await cluster.connect("a")


async def test_pod_that_leaves_keeps_its_connections(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    assert [cluster.select() for _ in range(2)] == ["a", "b"]
    cluster.all.follow(resolved("b"))
    assert cluster.states() == {"a": PodShareState.LEAVING, "b": PodShareState.READY}
    assert [cluster.select() for _ in range(3)] == ["b", "b", "b"]
    assert not cluster.pools["a"].closed
    assert cluster.reports[-1] == "a left, 1"
    # It is Ready again: the connections that it has count.
    cluster.all.follow(resolved("a", "b"))
    await until(lambda: cluster.all.tunnels == 2)
    assert cluster.reports[-1] == "a joined, 2"
    assert cluster.select() == "a"
    assert cluster.pools["a"].connections == 2


async def test_pod_without_connections_is_forgotten(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    cluster.all.follow(resolved("b"))
    assert list(cluster.states()) == ["b"]
    await until(lambda: cluster.pools["a"].closed)


async def test_last_pod_that_leaves_ends_it(cluster: Cluster) -> None:
    cluster.answers["b"] = asyncio.Event()
    await cluster.all.connect_to(resolved("a", "b"))
    cluster.all.follow(resolved("b"))
    assert not cluster.all.up
    assert "pod a" in cluster.all.last_error.message
    cluster.answers["b"].set()
    await cluster.connect("b")


async def test_dial_goes_on_while_the_connected_pods_leave(cluster: Cluster) -> None:
    cluster.answers["b"] = cluster.answers["c"] = asyncio.Event()
    await cluster.all.connect_to(resolved("a", "b", "c"))
    await until(lambda: {"b", "c"} <= set(cluster.dialed))
    cluster.all.follow(resolved("b", "c"))
    assert not cluster.all.up
    connecting = asyncio.create_task(cluster.all.connect_to(resolved("b", "c")))
    await asyncio.sleep(0)
    cluster.answers["b"].set()
    await connecting
    assert cluster.all.up
    assert cluster.dialed == ["a", "b", "c"]


async def test_tunnels_are_used_once_it_is_known_that_none_were_up(cluster: Cluster) -> None:
    cluster.answers["b"] = asyncio.Event()
    await cluster.all.connect_to(resolved("a", "b"))
    await until(lambda: "b" in cluster.dialed)
    cluster.all.follow(resolved("b"))
    cluster.answers["b"].set()
    await until(lambda: cluster.all.tunnels == 1)
    assert not cluster.all.up
    await cluster.all.connect_to(resolved("b"))
    assert cluster.all.up
    assert cluster.select() == "b"
    assert cluster.dialed == ["a", "b"]


async def test_lost_pod_is_dialed_again(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    cluster.pools["a"].lose()
    assert cluster.all.up
    assert cluster.select() == "b"
    await until(lambda: cluster.all.tunnels == 2)
    assert cluster.dialed.count("a") == 2


async def test_while_all_are_lost_nothing_is_dialed(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    cluster.answers["b"].clear()
    cluster.pools["b"].lose()
    cluster.pools["a"].lose()
    assert not cluster.all.up
    dialed = len(cluster.dialed)
    await asyncio.sleep(0)
    assert len(cluster.dialed) == dialed
    assert cluster.all.select("127.0.0.1:1") is None


async def test_pods_beyond_the_warm_ones_are_dialed_on_demand(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_pools, "_WARM_PODS", 2)
    await cluster.all.connect_to(resolved("a", "b", "c", "d"))
    await until(lambda: cluster.all.tunnels == 2)
    assert cluster.select() == "a"
    assert cluster.all.tunnels == 2
    assert [cluster.select() for _ in range(2)] == ["b", "a"]
    await until(lambda: cluster.all.tunnels == 4)
    assert cluster.select() in ("c", "d")


async def test_refusing_pod_is_the_last_choice(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    assert cluster.all.record_refusal(pod("a").pod)
    assert [cluster.select() for _ in range(3)] == ["b", "b", "b"]
    assert not cluster.all.record_refusal(pod("b").pod), "all refuse"
    assert cluster.select() == "a"


async def test_doubtful_pod_is_used_only_alone(cluster: Cluster) -> None:
    doubtful = replace(pod("b", 8080), caution=Reason(code=ReasonCode.POD_UNSTABLE))
    await cluster.all.connect_to(replace(pod("a", 8080), others=(doubtful,)))
    assert list(cluster.states()) == ["a"]


async def test_client_stays_with_its_pod(cluster: Cluster) -> None:
    await cluster.all.connect_to(resolved("a", "b", "c", affinity_s=100))
    await until(lambda: cluster.all.tunnels == 3)
    assert {cluster.select("127.0.0.1:1"), cluster.select("[::1]:2")} == {"a"}
    assert [cluster.select("10.0.0.5:1"), cluster.select("10.0.0.5:2")] == ["b", "b"]
    assert cluster.select("10.0.0.6:1") == "c"
    cluster.all.follow(resolved("a", "b", affinity_s=100))
    assert cluster.select("10.0.0.6:2") == "a", "its pod has left"


async def test_abort_ends_everything_at_once(cluster: Cluster) -> None:
    await cluster.connect("a", "b")
    cluster.reports.clear()
    cluster.all.abort(REASON)
    assert not cluster.all.up
    assert cluster.all.last_error.code is ReasonCode.FORWARD_RECONNECTING
    assert cluster.reports == []
    await cluster.connect("a", "b")
