"""Both forms of the session on the embedded cluster: every hop real, faults included."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.support.fake_engine import echo
from tests.support.waiting import until
from tui_forward.daemon import connect
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import ApiError, ForwardError
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session
from tui_forward.session.local import LocalSession

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets"),
    pytest.mark.timeout(120),
]


@dataclass(frozen=True)
class Cluster:
    kubeconfig: str
    control: ControlClient
    port: int

    def is_disconnected(self) -> bool:
        """Whether this process has no connection to the API server any more."""
        connections = psutil.Process().net_connections("tcp")
        return not any(len(one.raddr) and one.raddr[1] == self.port for one in connections)


class _Ready(msgspec.Struct):
    kubeconfig: str
    control: str
    server: str


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    talk = tmp_path_factory.mktemp("cluster") / "stderr"
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json"]
    command += ["--parent-pid", str(os.getpid())]
    with (
        talk.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, talk.read_text()
            ready = msgspec.json.decode(line, type=_Ready)
            port = int(ready.server.rpartition(":")[2])
            yield Cluster(ready.kubeconfig, ControlClient(ready.control), port)
        finally:
            process.terminate()


@dataclass
class Scenario:
    session: Session
    cluster: Cluster

    async def start(self, name: str, port: str, **more: object) -> str:
        target = Target(
            context=str(more.pop("context", "")),
            namespace=str(more.pop("namespace", "shop")),
            kind=TargetKind(str(more.pop("kind", TargetKind.DEPLOYMENT))),
            name=name,
            port=port,
            pin=bool(more.pop("pin", False)),
        )
        spec = ForwardSpec(
            target=target, local_port=0, addresses=("127.0.0.1",), half_close_timeout_s=0.1
        )
        return await self.session.start(msgspec.structs.replace(spec, **more))

    async def forward(self, forward_id: str) -> Forward:
        snapshot = await self.session.snapshot()
        return next(forward for forward in snapshot.forwards if forward.id == forward_id)

    async def reached(
        self, forward_id: str, wanted: ForwardState | Callable[[Forward], object]
    ) -> Forward:
        async with asyncio.timeout(60):
            while True:
                forward = await self.forward(forward_id)
                if forward.state is wanted if isinstance(wanted, ForwardState) else wanted(forward):
                    return forward
                await asyncio.sleep(0.005)

    async def ready(self, name: str, port: str, **more: object) -> tuple[str, int]:
        forward_id = await self.start(name, port, **more)
        forward = await self.reached(forward_id, ForwardState.READY)
        return forward_id, forward.listening[0].port

    @asynccontextmanager
    async def under_load(self, port: int, clients: int = 6) -> AsyncIterator[Load]:
        """Clients that connect, echo and leave, again and again, until the block ends."""
        load = Load()
        stop = asyncio.Event()

        async def client() -> None:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    async with asyncio.timeout(40):
                        await echo(port, b"some words")
                    load.served += 1
                except ConnectionRefusedError:
                    load.refused += 1
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    load.broken += 1
                load.slowest_s = max(load.slowest_s, time.monotonic() - began)
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(client())
            try:
                yield load
            finally:
                stop.set()


@dataclass
class Load:
    served: int = 0
    refused: int = 0
    broken: int = 0  # ended in the middle: what was under way when the pod or a hop died
    slowest_s: float = 0.0

    async def serves(self, more: int = 20) -> None:
        goal = self.served + more
        await until(lambda: self.served >= goal, 60)


async def _ends(engine: psutil.Process) -> None:
    """Its last front end has gone: the engine ends by itself, or did hang."""
    try:
        await until(lambda: not engine.is_running(), what="the engine did not end by itself")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.kill()


@pytest.fixture(params=["local", "remote"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster
) -> AsyncIterator[Scenario]:
    async with AsyncExitStack() as undo:
        session: Session
        if request.param == "local":
            # A TLS connection of the HTTP client closes in its own time, a moment later.
            undo.push_async_callback(until, cluster.is_disconnected)
            session = LocalSession(cluster.kubeconfig)
        else:
            folder = tmp_path / "e"
            session = await connect(
                cluster.kubeconfig,
                socket_path=folder / "s",
                arguments=["--log", str(folder / "log")],
            )
            assert isinstance(session, RemoteSession)
            undo.push_async_callback(_ends, psutil.Process(session.engine_pid))
        undo.push_async_callback(session.close)
        yield Scenario(session, cluster)


@pytest.mark.parametrize("transport", [*TransportChoice])
async def test_the_main_job(world: Scenario, transport: TransportChoice) -> None:
    forward_id, port = await world.ready("echo", "echo", transport=transport)
    data = os.urandom(200_000)
    assert await echo(port, data) == data
    forward = await world.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.bytes_from_pod == forward.counters.bytes_to_pod == len(data)
    assert forward.remote_port == 7000
    assert forward.pod is not None
    assert forward.pod.name.startswith("echo-")


@pytest.mark.parametrize(
    ("kind", "name", "port", "namespace"),
    [
        (TargetKind.SERVICE, "echo", "7", "shop"),
        (TargetKind.SERVICE, "echo", "echo", "shop"),
        (TargetKind.POD, "echo", "7000", "default"),
        (TargetKind.SELECTOR, "app=echo", "7000", "shop"),
    ],
)
async def test_targets(
    world: Scenario, kind: TargetKind, name: str, port: str, namespace: str
) -> None:
    _, local = await world.ready(name, port, kind=kind, namespace=namespace)
    assert await echo(local) == b"hello"


async def test_a_pod_deleted_under_load(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo")
    async with world.under_load(port) as load:
        for _ in range(3):
            await load.serves()
            before = (await world.forward(forward_id)).pod
            assert before is not None
            await world.cluster.control.request(
                "delete-pod", namespace="shop", pod=before.name, grace=0
            )
            await world.reached(
                forward_id,
                lambda f, before=before: f.state is ForwardState.READY and f.pod != before,  # type: ignore[misc]
            )
        await load.serves()
    assert load.refused == 0
    assert load.broken <= 3 * 6, "at most what was under way at each deletion"
    texts = [entry.text for entry in await world.session.timeline(forward_id)]
    assert sum(" → " in text for text in texts) == 3
    forward = await world.forward(forward_id)
    assert forward.listening[0].port == port
    assert not any("given up" in text for text in texts)


async def test_a_container_that_crashes_under_load(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo")
    pod = (await world.forward(forward_id)).pod
    assert pod is not None
    async with world.under_load(port) as load:
        await load.serves()
        await world.cluster.control.request("crash-pod", namespace="shop", pod=pod.name)
        await load.serves(50)
        await world.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= 6, "at most what was under way"
    after = (await world.forward(forward_id)).pod
    assert after is not None
    assert after.uid == pod.uid, "the pod is the same, its container is new"


@pytest.mark.parametrize("hop", ["apiserver", "kubelet", "runtime"])
async def test_a_hop_restarted_under_load(world: Scenario, hop: str) -> None:
    forward_id, port = await world.ready("echo", "echo")
    async with world.under_load(port) as load:
        await load.serves()
        await world.cluster.control.request("restart-component", component=hop)
        await load.serves()
        await world.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= 2 * 6
    timeline = [entry.text for entry in await world.session.timeline(forward_id)]
    assert any(text.startswith("was down ") for text in timeline), timeline


async def test_a_cut_connection_under_load(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo")
    async with world.under_load(port) as load:
        await load.serves()
        await world.cluster.control.request("cut", component="apiserver")
        await load.serves()
        await world.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= 6


async def test_an_expired_token_blocks_and_a_new_one_unblocks(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo", context="admin-tokenfile")
    await world.cluster.control.request("expire-token")
    try:
        assert await echo(port) == b"hello", "a tunnel that is up outlives its credentials"
        await world.session.reconnect(forward_id)
        forward = await world.reached(forward_id, ForwardState.BLOCKED)
        assert forward.blocked_by is BlockedBy.CREDENTIALS
        assert forward.hint
        assert forward.listening
        waiting = asyncio.create_task(echo(port))
        await world.reached(forward_id, lambda f: f.queued)
    finally:
        await world.cluster.control.request("clear")
        await world.cluster.control.request("rotate-token")
    assert await waiting == b"hello"
    await world.reached(forward_id, ForwardState.READY)


async def test_forbidden_names_verb_and_resource(world: Scenario) -> None:
    forward_id = await world.start("echo", "echo", context="viewer")
    forward = await world.reached(forward_id, ForwardState.BLOCKED)
    assert forward.blocked_by is BlockedBy.FORBIDDEN
    assert "create pods/portforward in namespace shop" in forward.reason
    assert forward.hint


async def test_what_does_not_exist(world: Scenario) -> None:
    ids = [
        await world.start("nothing", "80"),
        await world.start("nothing", "80", kind=TargetKind.POD),
        await world.start("nothing", "80", kind=TargetKind.SERVICE),
        await world.start("echo", "nothing", kind=TargetKind.SERVICE),
    ]
    for forward_id in ids:
        forward = await world.reached(forward_id, ForwardState.BLOCKED)
        assert forward.blocked_by is BlockedBy.TARGET
        assert "nothing" in forward.reason


async def test_a_pending_pod_is_waited_for_with_its_reason(world: Scenario) -> None:
    forward_id = await world.start("search", "8080")
    forward = await world.reached(
        forward_id, lambda f: f.state is ForwardState.WAITING and "Pending" in f.reason
    )
    assert forward.listening, "the port is there already"


async def test_contexts_side_by_side(world: Scenario) -> None:
    _, one = await world.ready("echo", "echo", context="minicluster")
    _, other = await world.ready("echo", "echo", context="admin-token")
    for port in (one, other):
        assert await echo(port) == b"hello"
    # `porter` may reach pods in its namespace, and may read neither deployments nor services.
    pod = (await world.forward("f1")).pod
    assert pod is not None
    _, third = await world.ready(pod.name, "7000", kind=TargetKind.POD, context="porter")
    assert await echo(third) == b"hello"


async def test_the_picture_of_the_cluster(world: Scenario) -> None:
    scope = CatalogScope("", "shop")
    async with asyncio.timeout(30):
        while True:
            view = await world.session.catalog(scope)
            if view.pods:
                break
            await asyncio.sleep(0.01)
    assert view.scope.context == "minicluster"
    changes = await world.session.catalog(view.scope, view.version)
    assert not changes.complete
    async with asyncio.timeout(30):
        while True:
            await world.session.catalog(scope)
            if any(health.ok for health in (await world.session.snapshot()).health):
                break
            await asyncio.sleep(0.01)


async def test_a_thousand_connections_at_once(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo", half_close_timeout_s=0.0)
    answers = await asyncio.gather(*(echo(port, b"%04d" % number) for number in range(1000)))
    assert answers == [b"%04d" % number for number in range(1000)]
    forward = await world.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.connections_total == 1000
    assert forward.counters.connections_failed == 0
    assert forward.counters.bytes_from_pod == 4000


# The way of a connection ----------------------------------------------------------------


async def _way(
    world: Scenario, forward_id: str, wanted: Callable[[dict[HopKind, Hop]], object]
) -> dict[HopKind, Hop]:
    """Wait for the stations to be as wanted."""
    way: dict[HopKind, Hop] = {}
    try:
        async with asyncio.timeout(30):
            while True:
                way = {hop.kind: hop for hop in await world.session.hops(forward_id)}
                assert tuple(way) == tuple(HopKind)
                if wanted(way):
                    return way
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError((way, await world.forward(forward_id))) from None


def _broken(way: dict[HopKind, Hop]) -> HopKind | None:
    """The station that is broken; those before and behind it must fit."""
    bad = [kind for kind, hop in way.items() if hop.state is HopState.BROKEN]
    if not bad:
        return None
    (kind,) = bad
    assert way[kind].error
    assert way[kind].hint
    order = list(HopKind)
    for other in order[order.index(kind) + 1 :]:
        assert way[other].state is HopState.UNKNOWN
    return kind


async def test_every_station_of_a_way_that_works(world: Scenario) -> None:
    forward_id, port = await world.ready("echo", "echo")
    assert await echo(port) == b"hello"
    way = await _way(world, forward_id, lambda way: way[HopKind.KUBELET].facts)
    assert all(hop.state is HopState.OK and not hop.error for hop in way.values()), way
    forward = await world.forward(forward_id)
    assert forward.pod is not None
    assert way[HopKind.LOCAL].name == f"127.0.0.1:{port}"
    assert way[HopKind.API].name.endswith(f":{world.cluster.port}")
    assert way[HopKind.API].facts[0].startswith("v1.")
    assert way[HopKind.API].latency_s is not None
    assert way[HopKind.KUBELET].name == forward.pod.node
    assert way[HopKind.KUBELET].facts == ("127.0.0.1", "kubelet v1.36.2-minicluster", "Ready")
    name, version = way[HopKind.RUNTIME].name.split(" ")
    assert name
    assert version[0].isdigit()
    assert way[HopKind.RUNTIME].latency_s is not None
    assert way[HopKind.POD].name == forward.pod.name
    assert way[HopKind.POD].facts[:2] == ("Running", "ready 1/1")
    assert (way[HopKind.PORT].name, way[HopKind.PORT].facts[:2]) == (
        "7000",
        ("echo", "container echo"),
    )


@pytest.mark.parametrize(
    ("hop", "kind"),
    [
        ("apiserver", HopKind.API),
        ("kubelet", HopKind.KUBELET),
        ("runtime", HopKind.RUNTIME),
    ],
)
async def test_the_station_that_is_stopped_is_the_broken_one(
    world: Scenario, hop: str, kind: HopKind
) -> None:
    forward_id, _ = await world.ready("echo", "echo")
    await _way(world, forward_id, lambda way: way[HopKind.KUBELET].facts)
    await world.cluster.control.request("stop-component", component=hop)
    try:
        way = await _way(world, forward_id, lambda way: _broken(way) is kind)
        order = list(HopKind)
        assert all(way[one].state is HopState.OK for one in order[: order.index(kind)])
        began = time.monotonic()
        await world.session.hops(forward_id)
        assert time.monotonic() - began < 2.5
    finally:
        await world.cluster.control.request("start-component", component=hop)
    await _way(world, forward_id, lambda way: all(hop.state is HopState.OK for hop in way.values()))


async def test_a_pod_that_no_node_was_found_for(world: Scenario) -> None:
    forward_id = await world.start("search", "8080")
    way = await _way(
        world, forward_id, lambda way: _broken(way) is HopKind.POD and way[HopKind.POD].facts
    )
    assert way[HopKind.POD].name.startswith("search-")
    assert way[HopKind.POD].facts[0] == "Pending"
    assert "Pending" in way[HopKind.POD].error
    assert way[HopKind.API].state is HopState.OK
    assert way[HopKind.KUBELET].state is HopState.UNKNOWN, "there is none"


async def test_a_port_that_nobody_listens_on(world: Scenario) -> None:
    forward_id, port = await world.ready("legacy", "http")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    way = await _way(world, forward_id, lambda way: _broken(way) is HopKind.PORT)
    assert way[HopKind.PORT].error == "nothing listens on port 8081 in the pod"
    assert "refused 1 of the last 1 connection" in way[HopKind.PORT].facts
    writer.close()


async def test_what_one_may_not_do_breaks_at_the_api_server(world: Scenario) -> None:
    forward_id = await world.start("echo", "echo", context="viewer")
    way = await _way(world, forward_id, lambda way: _broken(way) is HopKind.API)
    assert "create pods/portforward in namespace shop" in way[HopKind.API].error


async def test_who_may_read_no_nodes_lacks_their_facts_alone(world: Scenario) -> None:
    forward_id, _ = await world.ready("echo", "echo")
    pod = (await world.forward(forward_id)).pod
    assert pod is not None
    third, _ = await world.ready(pod.name, "7000", kind=TargetKind.POD, context="porter")
    way = await _way(world, third, lambda way: way[HopKind.POD].facts)
    assert all(hop.state is HopState.OK and not hop.error for hop in way.values()), way
    assert (way[HopKind.KUBELET].name, way[HopKind.KUBELET].facts) == (pod.node, ())
    assert way[HopKind.RUNTIME].name, "the pod's containers tell"
    with pytest.raises(ApiError, match="get pods/log") as failed:
        await world.session.pod_log(third)
    assert failed.value.forbidden
    assert failed.value.hint


async def test_the_log_of_the_pod_behind_a_forward(world: Scenario) -> None:
    forward_id, _ = await world.ready("web", "metrics")
    pod = (await world.forward(forward_id)).pod
    assert pod is not None
    log = await world.session.pod_log(forward_id)
    assert (log.pod, log.container) == (pod.name, "exporter")
    assert log.containers == ("web", "exporter", "admin")
    other = await world.session.pod_log(forward_id, container="web", lines=1)
    assert other.container == "web"
    assert len(other.lines) == 1
    assert other.lines[0]
    with pytest.raises(ApiError, match="nothing"):
        await world.session.pod_log(forward_id, container="nothing")


async def test_the_log_of_a_container_that_crashes(world: Scenario) -> None:
    forward_id = await world.start("payments", "http")
    await world.reached(forward_id, lambda f: f.state is not ForwardState.STARTING)
    log = await world.session.pod_log(forward_id)
    assert log.pod.startswith("payments-")
    assert log.container == "payments"
    with pytest.raises((ApiError, ForwardError)):
        await world.session.pod_log(await world.start("nothing", "80"))
