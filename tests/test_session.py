"""Both implementations of the session: in this process, and over a Unix socket.

They use the real engine and data path, with a fake cluster in this process.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.engine.fake_cluster import (
    ECHO,
    GONE,
    LATE,
    REFUSED,
    SINK,
    SOURCE,
    SOURCE_BYTES,
    FakeCluster,
    running_cluster,
)
from tests.engine.fake_cluster import FakeAccess as ChainAccess
from tests.support.fake_engine import FakeBackend, echo, pod
from tests.support.reasons import unresolved
from tests.support.waiting import until
from tui_forward.cli.forward_output import format_table, forward_to_dict
from tui_forward.common.access_options import parse_access_options
from tui_forward.common.kubectl_command import format_command
from tui_forward.common.log_source import log_source_of
from tui_forward.daemon import rpc, unix_socket
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.server import SessionServer
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.daemon.session_store import to_saved
from tui_forward.engine.limits import Limits
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    TransportError,
    UsageError,
)
from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.kube.kubeconfig.overrides import OptionSecrets
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    BlockedBy,
    CatalogScope,
    Connection,
    ConnectionState,
    Context,
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    Pod,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session
from tui_forward.session.diagnosis import ClusterFacts
from tui_forward.session.local import LocalSession
from tui_forward.transport.access import Endpoint, ServerAccess


class ChainBackend(FakeBackend):
    """Backend with pods set by the test and tunnels to a fake cluster, or failing ones."""

    def __init__(self, chain: FakeCluster) -> None:
        super().__init__()
        self.chain = chain
        self.trouble: AuthError | None = None

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        return _Access(self)


class _Access(ChainAccess):
    def __init__(self, backend: ChainBackend) -> None:
        super().__init__(backend.chain)
        self._backend = backend

    async def endpoint(self) -> Endpoint:
        if self._backend.trouble is not None:
            raise self._backend.trouble
        return await super().endpoint()


class Scenario:
    """A session and its fake cluster."""

    def __init__(self, session: Session, local: LocalSession, backend: ChainBackend) -> None:
        self.session = session
        self.local = local
        self.backend = backend

    async def forward(self, forward_id: str) -> Forward:
        snapshot = await self.session.snapshot()
        return next(forward for forward in snapshot.forwards if forward.id == forward_id)

    async def reached(
        self, forward_id: str, wanted: ForwardState | Callable[[Forward], object]
    ) -> Forward:
        """Wait until a forward is in a state, or a condition holds."""
        async with asyncio.timeout(60):
            while True:
                forward = await self.forward(forward_id)
                if forward.state is wanted if isinstance(wanted, ForwardState) else wanted(forward):
                    return forward
                await asyncio.sleep(0.005)

    async def marked(self, forward_id: str, marks: str) -> tuple[Hop, ...]:
        """Wait until a forward's hops are in certain states; see `_marks`."""
        async with asyncio.timeout(60):
            while True:
                hops = await self.session.hops(forward_id)
                if _marks(hops) == marks:
                    return hops
                await asyncio.sleep(0.005)

    async def ready(self, port: int, name: str = "web", **more: object) -> tuple[str, int]:
        """Start a forward to a port of the cluster; return id and local port once ready."""
        self.backend.resolutions[name] = pod(f"{name}-1", port)
        wanted = msgspec.structs.replace(spec(name), **more)
        forward_id = await self.session.start(wanted)
        forward = await self.reached(forward_id, ForwardState.READY)
        return forward_id, forward.listening[0].port

    async def connection(
        self, forward_id: str, wanted: Callable[[Connection], object]
    ) -> Connection:
        """Wait for a connection that meets a condition."""
        async with asyncio.timeout(60):
            while True:
                for connection in await self.session.connections(forward_id):
                    if wanted(connection):
                        return connection
                await asyncio.sleep(0.005)


def spec(name: str = "web", *, context: str = "", namespace: str = "") -> ForwardSpec:
    target = Target(
        context=context, namespace=namespace, kind=TargetKind.DEPLOYMENT, name=name, port="80"
    )
    return ForwardSpec(
        target=target, local_port=0, addresses=("127.0.0.1",), half_close_timeout_s=0.1
    )


@pytest.fixture(params=["local", "remote"])
async def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scenario]:
    async with AsyncExitStack() as undo:
        chain = await undo.enter_async_context(running_cluster())
        backend = ChainBackend(chain)
        local = LocalSession(backend=backend, monitor_system=False)
        undo.push_async_callback(local.close)
        if request.param == "local":
            yield Scenario(local, local, backend)
            return
        keeper, path = SessionSaver(local, tmp_path / "session.json"), tmp_path / "engine.sock"
        lock, listening = unix_socket.SocketLock(path), unix_socket.bind_socket(path)
        giver = HandoverSender(
            local, keeper, lock, listening, rpc.HandoverOffer(), on_handed_over=lambda _: None
        )
        server = SessionServer(local, keeper, NoticeLog(), giver)
        await server.start(listening)
        undo.push_async_callback(server.close)
        remote = await RemoteSession.open(path)
        undo.push_async_callback(remote.close)
        yield Scenario(remote, local, backend)


# The main job -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transport",
    [
        TransportChoice.AUTO,
        TransportChoice.SPDY,
        TransportChoice.WEBSOCKET,
        TransportChoice.CHANNELS,
    ],
)
async def test_bytes_flow_by_every_transport(
    scenario: Scenario, transport: TransportChoice
) -> None:
    forward_id, port = await scenario.ready(ECHO, transport=transport)
    data = os.urandom(300_000)
    assert await echo(port, data) == data
    connection = await scenario.connection(
        forward_id, lambda one: one.state is ConnectionState.CLOSED
    )
    assert (connection.bytes_to_pod, connection.bytes_from_pod) == (len(data), len(data))
    assert not connection.failed
    assert connection.first_byte_s is not None
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.first_byte is not None
    assert forward.first_byte.count == 1
    assert (forward.counters.bytes_to_pod, forward.counters.bytes_from_pod) == (
        len(data),
        len(data),
    )
    if transport is not TransportChoice.AUTO:
        assert forward.transport is transport
    snapshot = await scenario.session.snapshot()
    assert snapshot.totals.bytes_from_pod == len(data)
    assert snapshot.totals.connections_total == 1


async def test_download_is_counted_exactly(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(SOURCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = 0
    while data := await reader.read(1 << 16):
        received += len(data)
    writer.close()
    assert received == SOURCE_BYTES
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.bytes_from_pod == SOURCE_BYTES


async def test_traffic_is_kept_per_second(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(SOURCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.read(-1)
    writer.close()
    async with asyncio.timeout(60):
        while True:
            (history,) = await scenario.session.histories() or (None,)
            if history is not None and sum(down for down, _ in history.seconds) == SOURCE_BYTES:
                break
            await asyncio.sleep(0.05)
    assert history.forward_id == forward_id


async def test_upload_is_counted_exactly(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(SINK)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes(2_000_000))
    await writer.drain()
    await until(lambda: scenario.backend.chain.sink_bytes == 2_000_000)
    writer.close()
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.bytes_to_pod == 2_000_000


async def test_context_and_namespace_are_filled_in(scenario: Scenario) -> None:
    forward_id, _ = await scenario.ready(ECHO)
    forward = await scenario.forward(forward_id)
    assert (forward.spec.target.context, forward.spec.target.namespace) == ("here", "shop")


async def test_many_connections_at_once(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    answers = await asyncio.gather(*(echo(port, b"%d" % number * 50) for number in range(200)))
    assert answers == [b"%d" % number * 50 for number in range(200)]
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.connections_total == 200
    assert forward.counters.connections_failed == 0


# Trouble ------------------------------------------------------------------------------


async def test_refused_connection_ends_alone(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(REFUSED)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    connection = await scenario.connection(forward_id, lambda one: one.failed)
    assert "nothing listens" in connection.close_reason
    forward = await scenario.forward(forward_id)
    assert forward.state is ForwardState.READY
    assert forward.counters.connections_failed == 1
    assert "nothing listens" in forward.last_event
    assert any(
        "nothing listens" in entry.text for entry in await scenario.session.timeline(forward_id)
    )


async def test_refusal_by_a_pod_that_is_not_ready_is_retried(scenario: Scenario) -> None:
    scenario.backend.chain.refused_ports.add(ECHO)
    _, port = await scenario.ready(ECHO)
    watch = scenario.backend.watches["web"]
    watch.set(pod("web-1", ECHO, ready=False))
    await asyncio.sleep(0)
    answer = asyncio.create_task(echo(port))
    await until(lambda: ECHO in scenario.backend.chain.opened)
    scenario.backend.chain.refused_ports.discard(ECHO)
    assert await answer == b"hello"


async def test_reply_after_the_clients_end_of_file_arrives(scenario: Scenario) -> None:
    _, port = await scenario.ready(LATE)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"question")
    writer.write_eof()
    assert await reader.read()
    writer.close()


async def test_replaced_pod_serves_queued_connections(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    watch = scenario.backend.watches["web"]
    watch.set(unresolved("replacement web-2 is starting"))
    await scenario.reached(forward_id, ForwardState.RECONNECTING)
    waiting = [asyncio.create_task(echo(port)) for _ in range(5)]
    await scenario.reached(forward_id, lambda f: f.queued == 5)
    watch.set(pod("web-2", ECHO))
    assert await asyncio.gather(*waiting) == [b"hello"] * 5
    forward = await scenario.reached(forward_id, ForwardState.READY)
    assert forward.pod is not None
    assert forward.pod.name == "web-2"
    texts = [entry.text for entry in await scenario.session.timeline(forward_id)]
    assert "web-1 → web-2" in texts
    assert any("5 connections queued, all served" in text for text in texts)


async def test_cut_tunnel_is_replaced(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    scenario.backend.chain.cut()
    assert await echo(port) == b"hello"
    forward = await scenario.reached(forward_id, ForwardState.READY)
    assert forward.counters.connections_failed == 0
    await scenario.reached(forward_id, lambda f: "was down" in f.last_event)


async def test_gone_sandbox_is_reported(scenario: Scenario) -> None:
    _, port = await scenario.ready(GONE)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    await until(lambda: scenario.backend.watches["web"].invalidated == ["uid-web-1"])
    writer.close()


async def test_expired_credentials_block_until_renewed(scenario: Scenario) -> None:
    scenario.backend.trouble = AuthError("the token has expired", hint="log in again")
    scenario.backend.resolutions["web"] = pod("web-1", ECHO)
    forward_id = await scenario.session.start(spec())
    forward = await scenario.reached(forward_id, ForwardState.BLOCKED)
    assert forward.blocked_by is BlockedBy.CREDENTIALS
    assert (forward.reason, forward.hint) == ("the token has expired", "log in again")
    waiting = asyncio.create_task(echo(forward.listening[0].port))
    await scenario.reached(forward_id, lambda f: f.queued == 1)
    scenario.backend.trouble = None
    scenario.backend.current_revision += 1
    assert await waiting == b"hello"
    await scenario.reached(forward_id, ForwardState.READY)


# Commands -----------------------------------------------------------------------------


async def test_pause_resume_reconnect_stop(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    await scenario.session.pause(forward_id)
    forward = await scenario.forward(forward_id)
    assert (forward.paused, forward.state) == (True, ForwardState.STOPPED)
    await scenario.session.resume(forward_id)
    await scenario.reached(forward_id, ForwardState.READY)
    assert await echo(port) == b"hello"
    await scenario.session.reconnect(forward_id)
    assert await echo(port) == b"hello"
    await scenario.session.stop(forward_id)
    assert (await scenario.session.snapshot()).forwards == ()
    with closing(socket.create_server(("127.0.0.1", port))):
        pass


async def test_close_connection(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = await scenario.connection(forward_id, lambda one: True)
    await scenario.session.close_connection(connection.id)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    ended = await scenario.connection(forward_id, lambda one: one.state is ConnectionState.CLOSED)
    assert ended.close_reason == "closed by the user"


async def test_client_is_named(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = await scenario.connection(forward_id, lambda one: one.process)
    assert connection.process.endswith(f"({os.getpid()})")
    host, client_port = writer.get_extra_info("sockname")
    assert connection.client == f"{host}:{client_port}"
    writer.close()


@pytest.mark.parametrize("command", ["stop", "pause", "resume", "reconnect", "timeline", "hops"])
async def test_unknown_forward(scenario: Scenario, command: str) -> None:
    with pytest.raises(UsageError, match="there is no forward f99") as failed:
        await getattr(scenario.session, command)("f99")
    assert failed.value.hint
    with pytest.raises(UsageError):
        await scenario.session.connections("f99")


async def test_invalid_specs(scenario: Scenario) -> None:
    with pytest.raises(UsageError, match="local port 70000"):
        await scenario.session.start(msgspec.structs.replace(spec(), local_port=70000))
    with pytest.raises(ConfigError, match="no context nowhere") as failed:
        await scenario.session.start(spec(context="nowhere"))
    assert failed.value.hint == "choose another"


# Reading ------------------------------------------------------------------------------


async def test_contexts(scenario: Scenario) -> None:
    assert await scenario.session.contexts() == (
        Context(name="here", cluster="here", namespace="shop", current=True),
    )
    scenario.backend.config_error = ConfigError("there is no kubeconfig", hint="get one")
    with pytest.raises(ConfigError, match="there is no kubeconfig") as failed:
        await scenario.session.contexts()
    assert failed.value.hint == "get one"


async def test_catalog_and_health(scenario: Scenario) -> None:
    view = await scenario.session.catalog(CatalogScope("", "shop"))
    assert (view.version, view.complete) == (7, True)
    assert view.scope == CatalogScope("here", "shop")
    await scenario.session.catalog(view.scope, view.version)
    assert scenario.backend.scopes == [(view.scope, 0), (view.scope, 7)]
    missing = await scenario.session.catalog(CatalogScope("nowhere"))
    assert missing.health is not None
    assert (missing.health.ok, missing.health.blocked_by) == (False, BlockedBy.CONFIG)
    snapshot = await scenario.session.snapshot()
    assert [health.ok for health in snapshot.health] == [True]


async def test_snapshot_version_grows(scenario: Scenario) -> None:
    before = await scenario.session.snapshot()
    assert isinstance(before, Snapshot)
    await scenario.ready(ECHO)
    after = await scenario.session.snapshot()
    assert after.version > before.version
    assert after.at >= before.at


def _marks(hops: tuple[Hop, ...]) -> str:
    """Return the states of the hops as text: "+" is OK, "!" is BROKEN, "?" is UNKNOWN."""
    assert [hop.kind for hop in hops] == list(HopKind)
    return "".join({"ok": "+", "bad": "!", "unknown": "?"}[hop.state.value] for hop in hops)


async def test_hops_and_the_broken_one(scenario: Scenario) -> None:
    pod_1 = Pod(namespace="shop", name="web-1", uid="u", status="Running", node="node-a")
    scenario.backend.known = ClusterFacts(
        server="api:6443",
        pod=PodDetails(pod=pod_1, containers=("main",)),
        node=NodeDetails(name="node-a", kubelet="v1.36.2", runtime="containerd 1.6.20"),
    )
    forward_id, port = await scenario.ready(ECHO)
    hops = await scenario.session.hops(forward_id)
    assert _marks(hops) == "++++++"
    assert [hop.name for hop in hops] == [
        f"127.0.0.1:{port}",
        "api:6443",
        "node-a",
        "containerd 1.6.20",
        "web-1",
        str(ECHO),
    ]
    scenario.backend.watches["web"].set(unresolved("web-2 is Pending"))
    await scenario.reached(forward_id, ForwardState.RECONNECTING)
    hops = await scenario.session.hops(forward_id)
    assert _marks(hops) == "++++!?"
    assert hops[4].error == "web-2 is Pending"
    assert hops[4].hint
    scenario.backend.watches["web"].set(pod("web-2", ECHO))
    await scenario.reached(forward_id, ForwardState.READY)
    assert _marks(await scenario.session.hops(forward_id)) == "++++++"
    await scenario.session.pause(forward_id)
    assert _marks(await scenario.session.hops(forward_id)) == "+?????"


async def test_failed_dial_breaks_its_hop(scenario: Scenario) -> None:
    forward_id, _ = await scenario.ready(ECHO)
    chain = scenario.backend.chain
    for status, text, marks in (
        (500, "error dialing backend: dial tcp 10.0.0.7:10250: connect: refused", "++!???"),
        (500, "rpc error: code = Unavailable desc = no runtime", "+++!??"),
        (500, 'pod not found ("web-1_shop")', "++++!?"),
        (403, "no, you may not", "+!????"),
    ):
        chain.refuse = dict.fromkeys(("spdy", "websocket", "channels"), (status, text))
        chain.cut()
        await scenario.session.reconnect(forward_id)
        hops = await scenario.marked(forward_id, marks)
        broken = hops[marks.index("!")]
        assert broken.error
        assert broken.hint
    chain.refuse = {}
    await scenario.session.reconnect(forward_id)
    await scenario.reached(forward_id, ForwardState.READY)
    assert _marks(await scenario.session.hops(forward_id)) == "++++++"


async def test_credentials_break_the_api_and_a_taken_port_the_local_hop(scenario: Scenario) -> None:
    scenario.backend.trouble = AuthError("the token has expired", hint="log in again")
    scenario.backend.resolutions["web"] = pod("web-1", ECHO)
    forward_id = await scenario.session.start(spec())
    await scenario.reached(forward_id, ForwardState.BLOCKED)
    hops = await scenario.session.hops(forward_id)
    assert _marks(hops) == "+!????"
    assert (hops[1].error, hops[1].hint) == ("the token has expired", "log in again")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        wanted = msgspec.structs.replace(spec(), local_port=port, addresses=("127.0.0.1",))
        other = await scenario.session.start(wanted)
        await scenario.reached(other, ForwardState.BLOCKED)
        hops = await scenario.session.hops(other)
        assert _marks(hops) == "!?????"
        assert hops[0].name == f"127.0.0.1:{port}"
        assert f"{port}" in hops[0].error
        assert hops[0].hint


async def test_refused_connection_breaks_the_port(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(REFUSED)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    await scenario.connection(forward_id, lambda one: one.failed)
    writer.close()
    hops = await scenario.session.hops(forward_id)
    assert _marks(hops) == "+++++!"
    assert "nothing listens" in hops[5].error


async def test_missing_kubeconfig_leaves_the_hops(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward_id, _ = await scenario.ready(ECHO)

    async def gone(_: Forward) -> ClusterFacts:
        raise ConfigError("there is no kubeconfig")

    monkeypatch.setattr(scenario.backend, "inspect", gone)
    assert _marks(await scenario.session.hops(forward_id)) == "++++++"


async def test_pod_log(scenario: Scenario) -> None:
    forward_id, _ = await scenario.ready(ECHO)
    forward = await scenario.forward(forward_id)
    source = log_source_of(forward, "other", previous=True)
    assert await scenario.session.read_log(source) == scenario.backend.log
    await scenario.session.read_log(source, since="2026-01-02T03:04:05Z", lines=7)
    assert scenario.backend.log_requests == [
        (source, "", 1000), (source, "2026-01-02T03:04:05Z", 7),
    ]  # fmt: skip
    nowhere = msgspec.structs.replace(source.target, context="")
    await scenario.session.read_log(msgspec.structs.replace(source, target=nowhere))
    assert scenario.backend.log_requests[-1] == (source, "", 1000), "the current context"
    described = await scenario.session.describe(nowhere)
    assert (described.kind, described.name) == ("Pod", source.target.name)
    scenario.backend.log_error = ApiError(
        "you may not get pods/log", status=403, status_reason="Forbidden", hint="ask for a role"
    )
    with pytest.raises(ApiError, match="get pods/log") as forbidden:
        await scenario.session.read_log(source)
    assert forbidden.value.forbidden
    assert forbidden.value.hint == "ask for a role"
    scenario.backend.log_error = ForwardError("no pod", code=ReasonCode.TARGET_NO_POD)
    with pytest.raises(ForwardError) as nothing:
        await scenario.session.read_log(source)
    assert nothing.value.code is ReasonCode.TARGET_NO_POD


async def test_missing_permissions(scenario: Scenario) -> None:
    for context in ("here", ""):  # the current one
        scope = CatalogScope(context, "shop")
        missing = await scenario.session.missing_permissions(scope)
        assert missing.scope == scope
        assert missing.by_kind == {TargetKind.POD: ("create pods/portforward",)}
    nowhere = CatalogScope("nowhere", "shop")
    unknown = await scenario.session.missing_permissions(nowhere)
    assert (unknown.scope, unknown.by_kind) == (nowhere, {})


async def test_events_of_a_forward(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready(ECHO)
    await echo(port)
    await scenario.connection(forward_id, lambda one: one.state is ConnectionState.CLOSED)
    await scenario.session.stop(forward_id)
    reader = scenario.session.events()
    events: list[Event] = [await anext(reader)]
    while events[-1].event is not EventKind.STOPPED:
        events.append(await anext(reader))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.event for event in events] == [
        EventKind.LISTENING,
        EventKind.STATE,
        EventKind.STATE,
        EventKind.CONNECTION_OPENED,
        EventKind.CONNECTION_CLOSED,
        EventKind.STOPPED,
    ]
    assert events[0].listening[0].port == port
    assert events[0].target == "shop/deploy/web:80"
    assert events[2].state is ForwardState.READY
    closed = events[4].connection
    assert closed is not None
    assert (closed.bytes_from_pod, closed.state) == (5, ConnectionState.CLOSED)


async def test_events_since_a_number(scenario: Scenario) -> None:
    reader = scenario.session.events(1)
    second = asyncio.ensure_future(anext(reader))
    await scenario.ready(ECHO)
    assert [(await second).sequence, (await anext(reader)).sequence] == [2, 3]
    fourth = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    fourth.cancel()
    await asyncio.gather(fourth, return_exceptions=True)
    await scenario.ready(ECHO, "db")


async def test_closing_is_final_and_idempotent(scenario: Scenario) -> None:
    await scenario.ready(ECHO)
    await scenario.session.close()
    await scenario.session.close()
    if scenario.session is not scenario.local:
        with pytest.raises(TransportError):
            await scenario.session.snapshot()
        assert (await scenario.local.snapshot()).forwards, "what runs goes on"


async def test_disk_buffer_bounds_what_is_kept_on_disk() -> None:
    session = LocalSession(backend=FakeBackend(), monitor_system=False, disk_buffer=5)
    assert session._engine.limits == replace(Limits(), spill=5)
    await session.close()


# Options of kubectl -------------------------------------------------------------------


async def test_secrets_of_options_stay_in_the_engine(scenario: Scenario, tmp_path: Path) -> None:
    given = parse_access_options({"as": ["bob"], "token": ["t0ken-of-bob"]})
    other = parse_access_options({"as": ["bob"], "token": ["t0ken-of-eve"]})
    for options in (given, other, NO_OPTIONS):
        wanted = msgspec.structs.replace(spec().target, options=options)
        await scenario.session.start(msgspec.structs.replace(spec(), target=wanted))
    snapshot = await scenario.session.snapshot()
    listed = [forward.spec.target.options for forward in snapshot.forwards]
    assert listed == [given.without_secrets(), other.without_secrets(), NO_OPTIONS]
    assert len(set(listed)) == 3  # identities
    assert [one.impersonate_user for one in listed] == ["bob", "bob", ""]
    saved = msgspec.json.encode(to_saved(snapshot.forwards, keep_running=True))
    shown = [msgspec.json.encode(snapshot), repr(snapshot).encode(), saved]
    shown += [format_command(one.spec).encode() for one in snapshot.forwards]
    shown += [str(forward_to_dict(one)).encode() for one in snapshot.forwards]
    shown += [" ".join(format_table(snapshot.forwards, color=False)).encode(), repr(given).encode()]
    assert not any(b"t0ken" in text for text in shown)
    # The clients of the cluster have them.
    known = [scenario.local._backend.secrets.complete(one) for one in listed]
    assert [one.token for one in known] == ["t0ken-of-bob", "t0ken-of-eve", ""]


async def test_catalog_of_options(scenario: Scenario) -> None:
    given = parse_access_options({"server": ["https://10.0.0.1"], "token": ["t0ken-of-bob"]})
    scope = CatalogScope("here", "shop", given)
    view = await scenario.session.catalog(scope)
    assert view.scope == scope
    asked, _ = scenario.backend.scopes[-1]
    assert asked == CatalogScope("here", "shop", given.without_secrets())
    assert scenario.local._backend.secrets.complete(asked.options) == given


def test_secrets_of_another_engine() -> None:
    given = parse_access_options({"token": ["t0ken-of-bob"], "as": ["bob"]})
    with pytest.raises(ConfigError, match="the value of --token is kept in memory only") as error:
        OptionSecrets().complete(given.without_secrets())
    assert error.value.code is ReasonCode.AUTH_SECRET_NOT_KEPT
    secrets = OptionSecrets()
    secrets.remember(given)
    changed = msgspec.structs.replace(given.without_secrets(), server="https://evil.example")
    with pytest.raises(ConfigError):  # a token goes nowhere but where it was given for
        secrets.complete(changed)
    successor = OptionSecrets()
    for one in secrets.export():
        successor.remember(one)
    assert successor.complete(given.without_secrets()) == given


async def test_results_of_a_doctor_arrive_in_order(scenario: Scenario) -> None:
    query = DoctorQuery(context="here", namespace="shop")
    async with aclosing(scenario.session.diagnose(query)) as results:
        found = [one async for one in results]
    assert [one.hop for one in found[1::2]] == list(DoctorHop)
    assert {one.outcome for one in found[::2]} == {DoctorOutcome.RUNNING}
    assert {one.tried for one in found[1::2]} == {"here"}


async def test_a_doctor_can_be_left(scenario: Scenario) -> None:
    async with aclosing(scenario.session.diagnose(DoctorQuery())) as results:
        assert (await anext(results)).hop is DoctorHop.KUBECONFIG
    assert (await scenario.session.snapshot()).forwards == ()
