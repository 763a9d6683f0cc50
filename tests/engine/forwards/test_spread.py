"""A forward that spreads its connections, over the real data path."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.engine.fake_cluster import ECHO, GREETER
from tests.engine.scenario import Scenario
from tests.support.fake_engine import pod
from tests.support.waiting import until
from tui_forward.model import (
    Balance,
    Connection,
    ConnectionState,
    ContainerExit,
    DeclaredPort,
    EarlierPods,
    ForwardState,
    Pod,
    PodShareState,
    Reason,
    ReasonCode,
    Resolved,
    Unresolved,
)


def pods(*names: str, affinity_s: int = 0) -> Resolved:
    first, *others = (pod(name, ECHO) for name in names)
    return replace(first, others=tuple(others), affinity_s=affinity_s)


class Client:
    """An open connection through the forward."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def echo(self, data: bytes = b"x") -> None:
        self.writer.write(data)
        assert await self._reader.readexactly(len(data)) == data


class Clients:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.all: list[Client] = []

    async def open(self, count: int = 1) -> list[Client]:
        """Open connections, each after the other has echoed."""
        opened = []
        for _ in range(count):
            address = self._scenario.forward.listening[0]
            client = Client(*await asyncio.open_connection(address.host, address.port))
            self.all.append(client)
            await client.echo()
            opened.append(client)
        return opened

    def close(self) -> None:
        for client in self.all:
            client.writer.close()


@pytest.fixture
async def clients(scenario: Scenario) -> AsyncIterator[Clients]:
    made = Clients(scenario)
    yield made
    made.close()


def connected(scenario: Scenario) -> int:
    return sum(share.state is PodShareState.READY for share in scenario.forward.pods)


async def start(scenario: Scenario, *names: str, affinity_s: int = 0) -> None:
    await scenario.start(ECHO, pods(*names, affinity_s=affinity_s), balance=Balance.SPREAD)
    await until(lambda: connected(scenario) == len(names))


def open_by_pod(scenario: Scenario) -> dict[str, int]:
    return {share.pod.name: share.connections_open for share in scenario.forward.pods}


async def test_connections_are_spread_and_counted(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2", "web-3")
    assert scenario.forward.reason == (f"forwarding to the Ready pods of deploy/web:{ECHO} by SPDY")
    await clients.open(6)
    assert open_by_pod(scenario) == {"web-1": 2, "web-2": 2, "web-3": 2}
    by_connection = Counter(each.pod for each in scenario.engine.connections(scenario.forward.id))
    assert by_connection == {"web-1": 2, "web-2": 2, "web-3": 2}
    clients.close()
    await until(lambda: not any(open_by_pod(scenario).values()))
    shares = scenario.forward.pods
    assert [share.connections_total for share in shares] == [2, 2, 2]
    assert [share.bytes_from_pod for share in shares] == [2, 2, 2]
    assert [share.bytes_to_pod for share in shares] == [2, 2, 2]


async def test_pod_that_is_not_ready_keeps_its_connections(
    scenario: Scenario, clients: Clients
) -> None:
    await start(scenario, "web-1", "web-2")
    first, second = await clients.open(2)
    scenario.watch.set(pods("web-2"))
    await until(lambda: connected(scenario) == 1)
    await clients.open(3)
    assert open_by_pod(scenario) == {"web-1": 1, "web-2": 4}
    await first.echo()
    await second.echo()
    assert scenario.forward.state is ForwardState.READY
    states = {share.pod.name: share.state for share in scenario.forward.pods}
    assert states["web-1"] is PodShareState.LEAVING
    first.writer.close()
    await until(lambda: "web-1" not in open_by_pod(scenario))


async def test_forward_stays_ready_while_pods_are_replaced(
    scenario: Scenario, clients: Clients
) -> None:
    await start(scenario, "web-1", "web-2", "web-3")
    before = scenario.forward.since
    rollout = (("web-2", "web-3", "web-4"), ("web-3", "web-4", "web-5"), ("web-4", "web-5"))
    for names in rollout:
        scenario.watch.set(pods(*names))
        await until(lambda names=names: set(open_by_pod(scenario)) >= set(names))  # type: ignore[misc]
        await clients.open(3)
    forward = scenario.forward
    assert (forward.state, forward.since, forward.reconnects) == (ForwardState.READY, before, 0)
    texts = [entry.text for entry in scenario.engine.timeline(forward.id)]
    assert "web-4 joined: 3 pods" in texts
    assert any(text.startswith("web-1 left (deleted)") for text in texts)
    for client in clients.all:
        await client.echo()


async def test_totals_of_pods_that_have_left_stay_counted(
    scenario: Scenario, clients: Clients
) -> None:
    await start(scenario, "web-1", "web-2")
    await clients.open(4)
    assert scenario.forward.earlier_pods is None
    scenario.watch.set(pods("web-2", "web-3"))
    await until(lambda: connected(scenario) == 2)
    clients.close()
    await until(lambda: "web-1" not in open_by_pod(scenario))
    earlier = EarlierPods(pods=1, connections_total=2, bytes_from_pod=2, bytes_to_pod=2)
    assert scenario.forward.earlier_pods == earlier
    await until(lambda: not scenario.forward.counters.connections_open)
    scenario.watch.set(Unresolved(reason=Reason(code=ReasonCode.TARGET_SCALED_TO_ZERO, object="x")))
    await until(lambda: not scenario.forward.pods)
    counters = scenario.forward.counters
    assert scenario.forward.earlier_pods == EarlierPods(
        pods=2, connections_total=counters.connections_total,
        bytes_from_pod=counters.bytes_from_pod, bytes_to_pod=counters.bytes_to_pod,
    )  # fmt: skip
    scenario.watch.set(pods("web-1"))  # as before, with the same UID
    await until(lambda: connected(scenario) == 1)
    assert [share.connections_total for share in scenario.forward.pods] == [2]
    assert scenario.forward.earlier_pods == earlier


async def test_without_ready_pods_a_running_one_is_used(
    scenario: Scenario, clients: Clients
) -> None:
    await start(scenario, "web-1", "web-2")
    scenario.watch.set(pod("web-2", ECHO, ready=False))
    await until(lambda: scenario.codes == [ReasonCode.POD_NOT_READY])
    assert scenario.forward.state is ForwardState.READY
    await clients.open()
    assert open_by_pod(scenario) == {"web-2": 1}
    scenario.watch.set(pods("web-1", "web-2"))
    await until(lambda: scenario.codes == [] and connected(scenario) == 2)


async def test_no_pods_at_all_and_back(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    scaled = Reason(code=ReasonCode.TARGET_SCALED_TO_ZERO, object="deploy/web")
    scenario.watch.set(Unresolved(reason=scaled))
    await until(lambda: scenario.forward.state is not ForwardState.READY)
    waiting = asyncio.create_task(clients.open())
    await until(lambda: scenario.forward.queued == 1)
    scenario.watch.set(pods("web-3", "web-4"))
    await waiting
    assert scenario.forward.state is ForwardState.READY
    await until(lambda: connected(scenario) == 2)


async def test_lost_tunnels_of_one_pod_do_not_matter(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    first, second = await clients.open(2)
    pools = {share.pod.name: share for share in scenario.forward.pods}
    assert set(pools) == {"web-1", "web-2"}
    for connection in scenario.cluster.live_to("web-1"):
        connection.transport.abort()
    await until(lambda: open_by_pod(scenario)["web-1"] == 0)
    assert scenario.forward.state is ForwardState.READY
    await second.echo()
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await first.echo()
    await until(lambda: connected(scenario) == 2)
    assert scenario.forward.reconnects == 0


async def test_all_tunnels_lost_is_an_outage(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    scenario.cluster.cut()
    await until(lambda: scenario.forward.reconnects == 1)
    await until(lambda: scenario.forward.state is ForwardState.READY)
    await clients.open(2)


async def test_clients_of_a_service_with_affinity_stay(
    scenario: Scenario, clients: Clients
) -> None:
    await start(scenario, "web-1", "web-2", "web-3", affinity_s=600)
    await clients.open(4)
    assert sorted(open_by_pod(scenario).values()) == [0, 0, 4]


async def test_refused_connection_goes_to_another_pod(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    scenario.cluster.refused_pods = {"web-1"}
    await clients.open(3)
    assert open_by_pod(scenario) == {"web-1": 0, "web-2": 3}
    assert scenario.codes == []
    assert scenario.forward.counters.connections_failed == 0
    texts = [entry.text for entry in scenario.engine.timeline(scenario.forward.id)]
    assert any(text.startswith("pod web-1 refused a connection") for text in texts)
    # Refused everywhere is refused, and shown.
    scenario.cluster.refused_pods = {"web-1", "web-2"}
    for client in list(clients.all):
        client.writer.close()
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await clients.open()
    await until(lambda: ReasonCode.PORT_REFUSED in scenario.codes)


async def test_gone_sandbox_is_that_of_the_connection(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    scenario.cluster.gone_pods = {"web-2"}
    await clients.open()
    await clients.open()
    assert scenario.watch.invalidated == ["uid-web-2"]


async def test_end_names_the_container_of_the_port_of_its_own_pod(
    scenario: Scenario, clients: Clients
) -> None:
    # The service's port has a name, which stands for another number in each pod.
    first, second = pod("web-1", GREETER), pod("web-2", ECHO)
    await scenario.start(ECHO, replace(first, others=(second,)), balance=Balance.SPREAD)
    await until(lambda: connected(scenario) == 2)
    scenario.cluster.refused_pods = {"web-1"}
    (client,) = await clients.open()
    declared = (
        DeclaredPort(number=GREETER, name="http", container="sidecar"),
        DeclaredPort(number=ECHO, name="http", container="main"),
    )
    running = Pod(
        namespace="shop", name="web-2", uid=second.pod.uid, phase="Running", ports=declared
    )
    exits = (ContainerExit(container="main", number=1, code=137, restarted=True),)
    scenario.watch.set_pod(second.pod, running)
    scenario.watch.set_pod(second.pod, replace(running, exits=exits))
    for one in scenario.cluster.live:
        for app in one.apps:
            app.finish()

    def closed() -> list[Connection]:
        found = scenario.engine.connections()
        return [one for one in found if one.state is ConnectionState.CLOSED]

    await until(closed)
    assert closed()[0].close_reason == "closed: container main was restarted (exit code 137)"
    client.writer.close()


async def test_failure_reason_is_shown_with_the_pod(scenario: Scenario) -> None:
    scenario.cluster.unreachable_pods = {"web-2"}
    await scenario.start(ECHO, pods("web-1", "web-2"), balance=Balance.SPREAD)
    await until(lambda: bool(shown_reasons(scenario).get("web-2")))
    assert scenario.forward.state is ForwardState.READY
    assert not shown_reasons(scenario)["web-1"]


def shown_reasons(scenario: Scenario) -> dict[str, str]:
    return {share.pod.name: share.reason for share in scenario.forward.pods}


async def test_commands_reach_all_pods(scenario: Scenario, clients: Clients) -> None:
    await start(scenario, "web-1", "web-2")
    await scenario.engine.pause(scenario.forward.id)
    await until(lambda: not scenario.cluster.live)
    await scenario.engine.resume(scenario.forward.id)
    await until(lambda: scenario.forward.state is ForwardState.READY and connected(scenario) == 2)
    scenario.engine.reconnect(scenario.forward.id)
    await until(lambda: scenario.forward.reconnects == 1 and connected(scenario) == 2)
    await clients.open(2)
    await scenario.engine.stop(scenario.forward.id)
    await until(lambda: not scenario.cluster.live)
