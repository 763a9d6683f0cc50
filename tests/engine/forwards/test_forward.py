"""Forwards from the outside: what a person sees and a client meets, over a fake lower half."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import msgspec
import pytest

from tests.support.fake_engine import FakeBackend, FakeDataPath, FakeWatch, echo, pod
from tests.support.free_ports import find_free_port
from tests.support.reasons import unresolved
from tests.support.waiting import until
from tui_forward.common import clock
from tui_forward.engine import engine as engine_module
from tui_forward.engine.connections import listener
from tui_forward.engine.connections.local_ports import PortRequest, bind_sockets
from tui_forward.engine.engine import Engine
from tui_forward.engine.forwards import connection_table, open_listener, pool_dialer
from tui_forward.engine.forwards import forward as forward_module
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    TransportError,
    UsageError,
)
from tui_forward.model import (
    BlockedBy,
    ConnectionState,
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    Reason,
    ReasonCode,
    Target,
    TargetKind,
    Unresolved,
)
from tui_forward.protocol.http_answer import HttpAnswer
from tui_forward.protocol.upgrade_rejection import parse_rejection


def spec(
    name: str = "web",
    *,
    port: str = "8080",
    local_port: int | None = 0,
    queue_timeout_s: float = 30.0,
    context: str = "here",
    addresses: tuple[str, ...] = ("127.0.0.1",),
) -> ForwardSpec:
    target = Target(
        context=context, namespace="shop", kind=TargetKind.DEPLOYMENT, name=name, port=port
    )
    return ForwardSpec(
        target=target, local_port=local_port, addresses=addresses, queue_timeout_s=queue_timeout_s
    )


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def data_path(monkeypatch: pytest.MonkeyPatch) -> FakeDataPath:
    return FakeDataPath(monkeypatch)


@pytest.fixture
async def engine(backend: FakeBackend, data_path: FakeDataPath) -> AsyncIterator[Engine]:
    engine = Engine(backend, monitor_system=False)
    yield engine
    await engine.close()
    assert all(watch.closed for watch in backend.watches.values())
    assert all(pool.closed for pool in data_path.pools)


def only(engine: Engine) -> Forward:
    (forward,) = engine.forwards()
    return forward


def state_is(engine: Engine, state: ForwardState) -> Callable[[], bool]:
    return lambda: only(engine).state is state


async def started(
    engine: Engine, backend: FakeBackend, wanted: ForwardSpec | None = None
) -> tuple[str, int, FakeWatch]:
    """A forward that is ready to go to pod web-1; its id, local port and target."""
    wanted = wanted or spec()
    backend.resolutions[wanted.target.name] = pod(f"{wanted.target.name}-1", 8080)
    forward_id = engine.start(wanted)
    await until(
        lambda: next(f for f in engine.forwards() if f.id == forward_id).state is ForwardState.READY
    )
    forward = next(f for f in engine.forwards() if f.id == forward_id)
    return forward_id, forward.listening[0].port, backend.watches[wanted.target.name]


def texts(engine: Engine, forward_id: str) -> list[str]:
    return [entry.text for entry in engine.timeline(forward_id)]


async def events_of(engine: Engine) -> list[Event]:
    found: list[Event] = []
    reader = engine.events()
    try:
        while True:
            found.append(await asyncio.wait_for(anext(reader), 0.05))
    except (TimeoutError, StopAsyncIteration):
        return found


# The thin line ------------------------------------------------------------------------


async def test_bytes_flow_and_are_counted(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, _ = await started(engine, backend)
    assert await echo(port, b"hello") == b"hello"
    await until(lambda: only(engine).counters.connections_open == 0)
    forward = only(engine)
    assert forward.reason == "forwarding to web-1:8080 by SPDY"
    assert (forward.tunnels, forward.round_trip_s, forward.remote_port) == (1, 0.001, 8080)
    assert forward.pod is not None
    assert forward.pod.name == "web-1"
    counters = forward.counters
    assert (counters.bytes_from_pod, counters.bytes_to_pod) == (5, 5)
    assert (counters.connections_total, counters.connections_failed) == (1, 0)
    assert data_path.pool.dialed == [("web-1", 8080)]
    kinds = [event.event for event in await events_of(engine)]
    assert kinds == [
        EventKind.LISTENING,
        EventKind.STATE,
        EventKind.STATE,
        EventKind.CONNECTION_OPENED,
        EventKind.CONNECTION_CLOSED,
    ]
    assert texts(engine, forward_id)[:2] == [
        "started",
        f"listening on 127.0.0.1:{port}",
    ]


async def test_states_are_events_with_reasons(engine: Engine, backend: FakeBackend) -> None:
    await started(engine, backend)
    states = [
        (event.state, event.reason)
        for event in await events_of(engine)
        if event.event is EventKind.STATE
    ]
    assert states == [
        (ForwardState.CONNECTING, "connecting to web-1:8080"),
        (ForwardState.READY, "forwarding to web-1:8080 by SPDY"),
    ]


# Waiting for pods ---------------------------------------------------------------------


async def test_waiting_has_the_reason_of_the_target(engine: Engine, backend: FakeBackend) -> None:
    backend.resolutions["web"] = unresolved("0 of 2 pods of deploy/web are ready", hint="look")
    engine.start(spec())
    await until(lambda: only(engine).reason == "0 of 2 pods of deploy/web are ready")
    forward = only(engine)
    assert (forward.state, forward.hint) == (ForwardState.WAITING, "look")
    assert forward.listening, "the local port is there before any pod"
    backend.watches["web"].set(pod("web-1"))
    await until(state_is(engine, ForwardState.READY))


async def test_missing_target_blocks(engine: Engine, backend: FakeBackend) -> None:
    backend.resolutions["web"] = unresolved(
        'there is no deployment "web"', ReasonCode.TARGET_NOT_FOUND, hint="check"
    )
    engine.start(spec())
    await until(state_is(engine, ForwardState.BLOCKED))
    assert only(engine).blocked_by is BlockedBy.TARGET
    backend.watches["web"].set(pod("web-1"))
    await until(state_is(engine, ForwardState.READY))
    assert only(engine).blocked_by is None


async def test_queued_connections_are_served_when_a_pod_is_ready(
    engine: Engine, backend: FakeBackend
) -> None:
    backend.resolutions["web"] = unresolved("deploy/web has no pods yet")
    forward_id = engine.start(spec())
    await until(lambda: only(engine).listening)
    port = only(engine).listening[0].port
    echoes = [asyncio.create_task(echo(port)) for _ in range(3)]
    await until(lambda: only(engine).queued == 3)
    backend.watches["web"].set(pod("web-1"))
    assert await asyncio.gather(*echoes) == [b"hello"] * 3
    assert only(engine).queued == 0
    assert any("3 connections queued, all served" in text for text in texts(engine, forward_id))


async def test_queued_connection_times_out(engine: Engine, backend: FakeBackend) -> None:
    forward_id = engine.start(spec(queue_timeout_s=0.05))
    await until(lambda: only(engine).listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", only(engine).listening[0].port)
    assert await reader.read() == b""
    writer.close()
    await until(lambda: only(engine).counters.connections_failed == 1)
    (connection,) = engine.connections(forward_id)
    assert connection.failed
    assert connection.close_reason == "no tunnel to the pod within 0.05 s"
    assert connection.closed_at is not None
    assert only(engine).last_event == "no tunnel to the pod within 0.05 s"
    backend.watches["web"].set(pod("web-1"))
    await until(lambda: any("1 given up" in text for text in texts(engine, forward_id)))


async def test_excess_connections_wait_in_the_kernel(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward_module, "_MAX_QUEUED", 4)
    monkeypatch.setattr(listener, "_ACCEPTS_PER_WAKE", 2)
    engine.start(spec())
    await until(lambda: only(engine).listening)
    port = only(engine).listening[0].port
    echoes = [asyncio.create_task(echo(port)) for _ in range(20)]
    await until(lambda: only(engine).queued >= 4)
    for _ in range(50):
        await asyncio.sleep(0)
    assert only(engine).queued <= 6
    backend.watches["web"].set(pod("web-1"))
    assert await asyncio.gather(*echoes) == [b"hello"] * 20


# Following ----------------------------------------------------------------------------


async def test_pod_with_owner_is_followed(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, watch = await started(engine, backend)
    watch.set(unresolved("replacement web-2 is starting"))
    await until(state_is(engine, ForwardState.RECONNECTING))
    assert only(engine).reason == "pod web-1 can no longer be used; replacement web-2 is starting"
    assert data_path.pool.disconnects, "connections to the old pod may end in peace"
    assert not data_path.pool.aborts
    queued = asyncio.create_task(echo(port))
    await until(lambda: only(engine).queued)
    watch.set(pod("web-2"))
    assert await queued == b"hello"
    assert only(engine).state is ForwardState.READY
    assert only(engine).listening[0].port == port
    entries = texts(engine, forward_id)
    assert "web-1 → web-2" in entries
    assert any(text.endswith("1 connection queued, served") for text in entries)
    assert only(engine).last_event.startswith("was down ")


async def test_ready_replacement_is_used_at_once(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, port, watch = await started(engine, backend)
    watch.set(pod("web-2"))
    await until(lambda: data_path.pool.dialed[-1] == ("web-2", 80))
    await until(state_is(engine, ForwardState.READY))
    assert await echo(port) == b"hello"
    reasons = [e.reason for e in await events_of(engine) if e.event is EventKind.STATE]
    assert "pod web-1 was replaced by web-2; connecting to web-2:80" in reasons


async def test_new_pod_of_the_same_name_is_another_pod(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, _, watch = await started(engine, backend)
    again = pod("web-1", 8080)
    watch.set(type(again)(pod=type(again.pod)(namespace="shop", name="web-1", uid="2"), port=8080))
    await until(lambda: len(data_path.pool.dialed) == 2)
    await until(state_is(engine, ForwardState.READY))
    reasons = [e.reason for e in await events_of(engine) if e.event is EventKind.STATE]
    assert any("replaced by a new one of the same name" in reason for reason in reasons)


async def test_container_restart_keeps_the_tunnel(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, watch = await started(engine, backend)
    watch.set(pod("web-1", 8080, ready=False))
    await until(lambda: "not Ready" in only(engine).reason)
    assert only(engine).state is ForwardState.READY
    watch.set(pod("web-1", 8080, incarnation="2"))
    await until(lambda: "a container of web-1 was restarted" in texts(engine, forward_id))
    assert data_path.pool.dialed == [("web-1", 8080)]
    assert await echo(port) == b"hello"


async def test_changed_port_of_the_same_pod(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, _, watch = await started(engine, backend)
    watch.set(pod("web-1", 9090))
    await until(lambda: data_path.pool.dialed == [("web-1", 8080), ("web-1", 9090)])
    await until(state_is(engine, ForwardState.READY))
    assert only(engine).remote_port == 9090


async def test_changed_pod_interrupts_the_dial(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dials.clear()
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(lambda: data_path.pools and data_path.pool.dialed)
    backend.watches["web"].set(pod("web-2"))
    await until(lambda: data_path.pool.dialed == [("web-1", 80), ("web-2", 80)])
    data_path.dials.set()
    await until(state_is(engine, ForwardState.READY))
    backend.watches["web"].set(unresolved("scaled to 0"))
    data_path.dials.clear()
    backend.watches["web"].set(pod("web-3"))
    await until(lambda: data_path.pool.dialed[-1] == ("web-3", 80))
    backend.watches["web"].set(unresolved("deploy/web is scaled to 0 replicas"))
    await until(lambda: "scaled to 0 replicas" in only(engine).reason)


async def test_pod_with_a_gone_sandbox_is_invalidated(engine: Engine, backend: FakeBackend) -> None:
    forward_id, _, watch = await started(engine, backend)
    live = engine._forwards[forward_id]
    gone = ForwardError("failed to find sandbox")
    live._queue.sandbox_gone(gone, pod("web-1").pod)
    assert watch.invalidated == ["uid-web-1"]
    assert only(engine).last_event == "pod web-1: failed to find sandbox"
    watch.set(pod("web-2", 8080))
    await until(lambda: only(engine).reason.startswith("forwarding to web-2"))
    live._queue.sandbox_gone(gone, pod("web-1").pod)
    assert watch.invalidated == ["uid-web-1"], "this is about the previous pod"
    live._queue.sandbox_gone(gone, pod("web-2").pod)
    assert watch.invalidated == ["uid-web-1", "uid-web-2"]


async def test_pod_missing_in_the_api_is_invalidated(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dial_error = ApiError('pods "web-1" not found', status=404, status_reason="NotFound")
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(lambda: data_path.pools and data_path.pool.dialed)
    await until(lambda: backend.watches["web"].invalidated)
    data_path.dial_error = None
    backend.watches["web"].set(pod("web-2"))
    await until(state_is(engine, ForwardState.READY))


# Losing the tunnel --------------------------------------------------------------------


async def test_lost_tunnel_is_dialed_again(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, _ = await started(engine, backend)
    data_path.dials.clear()
    data_path.pool.down("the API server closed the tunnel")
    assert only(engine).queued == 0
    queued = asyncio.create_task(echo(port))
    await until(state_is(engine, ForwardState.RECONNECTING))
    forward = only(engine)
    assert forward.reason.startswith("the API server closed the tunnel")
    assert (forward.tunnels, forward.transport, forward.round_trip_s) == (0, None, None)
    await until(lambda: only(engine).queued == 1)
    data_path.dials.set()
    assert await queued == b"hello"
    assert data_path.pool.dialed == [("web-1", 8080)] * 2
    assert len(data_path.pools) == 1
    assert any("was down" in text for text in texts(engine, forward_id))


async def test_no_connection_gets_a_pool_that_is_down(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, _, _ = await started(engine, backend)
    live = engine._forwards[forward_id]
    data_path.dials.clear()
    data_path.pool.up = False  # not even announced
    waiting = asyncio.create_task(live._queue.wait_for_pool(""))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    data_path.pool._on_change()
    await until(state_is(engine, ForwardState.RECONNECTING))
    data_path.dials.set()
    assert (await waiting) is data_path.pool  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("set_by", [-86400.0, 86400.0])
async def test_times_are_right_after_the_clock_was_set(
    set_by: float, engine: Engine, backend: FakeBackend, data_path: FakeDataPath,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    wall = [0.0]
    monkeypatch.setattr(clock, "_clock", clock.SteadyClock(lambda: time.monotonic() + wall[0]))
    data_path.dial_error = TransportError("connection refused")
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(lambda: only(engine).retry_at is not None)
    started = time.monotonic()
    wall[0] = set_by
    forward, now = only(engine), time.monotonic() + set_by
    passed = time.monotonic() - started + 60  # generous, for slow machines
    assert 0 <= now - forward.since < passed
    assert 0 <= now - forward.started_at < passed
    assert forward.retry_at is None or -passed < forward.retry_at - now < 60
    timeline = engine.timeline(forward.id)
    assert timeline
    assert all(0 <= now + 1 - entry.at < passed for entry in timeline)


async def test_failing_dials_back_off(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dial_error = TransportError("connection refused", hint="is the VPN up?")
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(lambda: data_path.pools and len(data_path.pool.dialed) > 2)
    await until(lambda: only(engine).retry_at is not None)
    forward = only(engine)
    assert forward.state is ForwardState.CONNECTING
    assert forward.reason == "cannot reach pod web-1: connection refused"
    assert forward.hint == "is the VPN up?"
    assert forward.retry_at is not None
    assert forward.retry_at <= time.time() + 15


@pytest.mark.parametrize("wake", ["nudge", "reconnect", "pod event", "neighbor"])
async def test_retry_request_cuts_the_delay(
    engine: Engine,
    backend: FakeBackend,
    data_path: FakeDataPath,
    wake: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tui_forward.engine.forwards.backoff.Backoff.failed", lambda *_, **__: 3600.0
    )
    data_path.dial_error = TransportError("connection refused")
    backend.resolutions["web"] = pod("web-1")
    forward_id = engine.start(spec())
    await until(lambda: only(engine).retry_at is not None)
    data_path.dial_error = None
    if wake == "nudge":
        engine.retry_waiting("the machine slept for 8 h")
        assert backend.refreshes == 1
        assert texts(engine, forward_id)[-1] == "the machine slept for 8 h: trying again"
    elif wake == "reconnect":
        engine.reconnect(forward_id)
    elif wake == "pod event":
        backend.watches["web"].set(pod("web-1", incarnation="2"))
    else:
        backend.resolutions["db"] = pod("db-1")
        engine.start(spec("db"))
    await until(lambda: all(f.state is ForwardState.READY for f in engine.forwards()))


async def test_retry_request_probes_a_ready_forward(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, _, _ = await started(engine, backend)
    before = texts(engine, forward_id)
    engine.retry_waiting("the network changed")
    assert data_path.pool.probes == 1
    assert texts(engine, forward_id) == before
    assert only(engine).state is ForwardState.READY


# Blocked ------------------------------------------------------------------------------


async def test_new_credentials_unblock_all_forwards(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dial_error = AuthError("the token has expired", hint="run: kubelogin")
    for name in ("web", "db", "cache"):
        backend.resolutions[name] = pod(f"{name}-1")
        engine.start(spec(name))
    await until(lambda: all(f.state is ForwardState.BLOCKED for f in engine.forwards()))
    for forward in engine.forwards():
        assert forward.blocked_by is BlockedBy.CREDENTIALS
        assert (forward.reason, forward.hint) == ("the token has expired", "run: kubelogin")
        assert forward.retry_at is not None
        assert forward.listening
    queued = asyncio.create_task(echo(engine.forwards()[0].listening[0].port))
    await until(lambda: engine.forwards()[0].queued == 1)
    data_path.dial_error = None
    engine.retry_waiting("the kubeconfig has changed")
    await until(lambda: all(f.state is ForwardState.READY for f in engine.forwards()))
    assert await queued == b"hello"


async def test_successful_dial_retries_the_other_forwards(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dial_error = AuthError("the token has expired")
    for name in ("web", "db"):
        backend.resolutions[name] = pod(f"{name}-1")
        engine.start(spec(name))
    await until(lambda: all(f.state is ForwardState.BLOCKED for f in engine.forwards()))
    data_path.dial_error = None
    engine.reconnect("f1")
    await until(lambda: all(f.state is ForwardState.READY for f in engine.forwards()))


async def test_forbidden_names_verb_and_resource(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    message = (
        'pods "web-1" is forbidden: User "eve" cannot create resource "pods/portforward" '
        'in API group "" in the namespace "shop"'
    )
    reason = parse_rejection(
        HttpAnswer(status=403, message=message, status_reason="Forbidden", is_status=True)
    )
    data_path.dial_error = ApiError(reason, status=403, status_reason="Forbidden")
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(state_is(engine, ForwardState.BLOCKED))
    forward = only(engine)
    assert forward.blocked_by is BlockedBy.FORBIDDEN
    assert forward.code is ReasonCode.RBAC_FORBIDDEN
    assert forward.reason == "not allowed to create pods/portforward in namespace shop as eve"
    assert "pods/portforward" in forward.hint


async def test_unusable_context_blocks(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.watch_error = ConfigError("there is no context prod", hint="choose another")
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(state_is(engine, ForwardState.BLOCKED))
    assert only(engine).blocked_by is BlockedBy.CONFIG
    backend.watch_error = None
    engine.retry_waiting("the kubeconfig has changed")
    await until(state_is(engine, ForwardState.READY))


async def test_server_that_is_not_verified_is_logged_once(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    access = backend.access("here")
    monkeypatch.setattr(access, "insecure", True)
    monkeypatch.setattr(backend, "access", lambda *_: access)
    backend.resolutions["web"] = pod("web-1")
    forward_id = engine.start(spec())
    await until(state_is(engine, ForwardState.READY))
    assert only(engine).insecure
    await engine.pause(forward_id)
    await engine.resume(forward_id)
    await until(state_is(engine, ForwardState.READY))
    found = [one for one in caplog.messages if "is not verified" in one]
    assert found == [
        f"forward {forward_id}: the certificate of the API server of here is not verified"
    ]


# Supervision --------------------------------------------------------------------------


async def test_exception_becomes_a_state_and_a_retry(
    engine: Engine,
    backend: FakeBackend,
    data_path: FakeDataPath,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, other, _ = await started(engine, backend, spec("db"))
    data_path.dial_errors = [ZeroDivisionError("bug")]
    backend.resolutions["web"] = pod("web-1")
    engine.start(spec())
    await until(lambda: engine.forwards()[1].retry_at is not None)
    forward = engine.forwards()[1]
    assert forward.state is ForwardState.CONNECTING
    assert forward.code is ReasonCode.INTERNAL_ERROR
    assert forward.reason == "cannot reach pod web-1: internal error: ZeroDivisionError: bug"
    assert "a dial failed unexpectedly" in caplog.text
    assert await echo(other) == b"hello"
    await until(lambda: engine.forwards()[1].state is ForwardState.READY)


async def test_failed_watch_is_reopened(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, port, watch = await started(engine, backend)
    watch.fail(RuntimeError("no more events"))
    await until(state_is(engine, ForwardState.RECONNECTING))
    await until(state_is(engine, ForwardState.READY))
    assert backend.watches["web"] is not watch
    assert watch.closed
    assert data_path.pool.dialed == [("web-1", 8080)], "the tunnel was fine all the time"
    assert await echo(port) == b"hello"


# Refusals -----------------------------------------------------------------------------


async def test_refusal_is_final_only_from_a_ready_pod(engine: Engine, backend: FakeBackend) -> None:
    forward_id, port, watch = await started(engine, backend)
    asked = engine._forwards[forward_id]._queue
    refused = ForwardError("connection refused")
    assert asked.refusal_is_final(refused, None), "nothing has listened there yet"
    assert await echo(port) == b"hello"
    asked._last_refusal = asked._first_refusal = 0.0
    assert not asked.refusal_is_final(refused, None), "it has answered before: perhaps it restarts"
    asked._first_refusal -= 10
    assert asked.refusal_is_final(refused, None)
    watch.set(pod("web-1", 8080, ready=False))
    await until(lambda: len(only(engine).warnings) == 2)
    assert not asked.refusal_is_final(refused, None)
    watch.set(pod("web-2", 8080))
    await until(lambda: only(engine).reason.startswith("forwarding to web-2"))
    assert not asked.refusal_is_final(refused, None), "it is Ready, and may not listen yet"
    asked._first_refusal -= 10
    assert asked.refusal_is_final(refused, None)


async def test_refusal_of_an_earlier_pod_is_not_final(engine: Engine, backend: FakeBackend) -> None:
    forward_id, port, watch = await started(engine, backend)
    asked = engine._forwards[forward_id]._queue
    assert await echo(port) == b"hello"
    watch.set(pod("web-2", 8080))
    await until(lambda: only(engine).reason.startswith("forwarding to web-2"))
    refused = ForwardError("connection refused")
    assert not asked.refusal_is_final(refused, pod("web-1").pod)
    asked._first_refusal -= 10
    assert not asked.refusal_is_final(refused, pod("web-1").pod)
    assert not asked.refusal_is_final(refused, pod("web-2").pod), "it is the first of this pod"


async def test_grace_of_refusals_begins_again_after_an_answer(
    engine: Engine, backend: FakeBackend
) -> None:
    forward_id, port, _ = await started(engine, backend)
    asked = engine._forwards[forward_id]._queue
    assert await echo(port) == b"hello"
    refused = ForwardError("connection refused")
    assert not asked.refusal_is_final(refused, pod("web-1").pod)
    asked._first_refusal -= 10
    asked.pod_answered()
    assert not asked.refusal_is_final(refused, pod("web-1").pod)
    asked._first_refusal -= 10
    assert asked.refusal_is_final(refused, pod("web-1").pod)


# The local port -----------------------------------------------------------------------


async def test_taken_port_names_the_process_and_is_retried(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_listener, "_RETRY_S", 0.02)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        backend.resolutions["web"] = pod("web-1")
        engine.start(spec(local_port=port))
        await until(state_is(engine, ForwardState.BLOCKED))
        forward = only(engine)
        assert forward.blocked_by is BlockedBy.PORT
        assert forward.reason.startswith(f"local port {port} is taken by ")
        assert f"({os.getpid()})" in forward.reason
        assert forward.reason.endswith("starts as soon as it is free")
        assert not forward.listening
    await until(state_is(engine, ForwardState.READY))
    assert await echo(port) == b"hello"


async def test_port_of_another_forward_names_that_forward(
    engine: Engine, backend: FakeBackend
) -> None:
    _, port, _ = await started(engine, backend)
    engine.start(spec("db", local_port=port))
    await until(lambda: engine.forwards()[1].state is ForwardState.BLOCKED)
    assert "the forward f1 to shop/deploy/web:8080" in engine.forwards()[1].reason
    await engine.stop("f1")
    await until(lambda: only(engine).state is not ForwardState.BLOCKED)
    assert only(engine).listening[0].port == port


async def test_default_local_port_is_the_targets(engine: Engine, backend: FakeBackend) -> None:
    port = find_free_port()
    engine.start(spec(port=str(port), local_port=None))
    await until(lambda: only(engine).listening)
    assert only(engine).listening[0].port == port


async def test_container_that_is_down_is_awaited_with_its_port_open(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    # The port may be given by name: the pod that crashes declares it.
    found = pod("web-1", 8080)
    down = Unresolved(
        reason=Reason(code=ReasonCode.POD_CRASH_LOOPING, pod="web-1", container="main"),
        pod=found.pod,
        port=found.port,
    )
    backend.resolutions["web"] = down
    engine.start(spec(port="http", local_port=None))
    await until(state_is(engine, ForwardState.WAITING))
    await until(lambda: only(engine).listening)
    assert (only(engine).pod, only(engine).remote_port) == (found.pod, 8080)
    watch = backend.watches["web"]
    watch.set(found)
    await until(state_is(engine, ForwardState.READY))
    watch.set(down)
    await until(state_is(engine, ForwardState.WAITING))
    assert only(engine).code is ReasonCode.POD_CRASH_LOOPING
    client = asyncio.create_task(echo(only(engine).listening[0].port))
    await until(lambda: only(engine).queued == 1)
    watch.set(found)
    assert await client == b"hello", "it waits for the container"
    assert data_path.pool.dialed == [("web-1", 8080)] * 2


async def test_container_that_crash_loops_serves_while_it_runs_and_the_forward_waits(
    engine: Engine, backend: FakeBackend
) -> None:
    found = pod("web-1", 8080)
    unstable = Reason(code=ReasonCode.POD_UNSTABLE, pod="web-1", container="main", restarts=2)
    down = Unresolved(
        reason=Reason(code=ReasonCode.POD_CRASH_LOOPING, pod="web-1", container="main"),
        pod=found.pod,
        port=found.port,
    )
    runs = msgspec.structs.replace(found, caution=unstable)
    backend.resolutions["web"] = runs
    forward_id = engine.start(spec(port="http", local_port=None))
    await until(lambda: only(engine).listening)
    port = only(engine).listening[0].port
    watch = backend.watches["web"]
    for _ in range(2):
        watch.set(runs)
        assert await echo(port) == b"hello"
        assert (only(engine).state, only(engine).code) == (
            ForwardState.WAITING, ReasonCode.POD_UNSTABLE,
        )  # fmt: skip
        watch.set(down)
        await until(lambda: only(engine).code is ReasonCode.POD_CRASH_LOOPING)
    client = asyncio.create_task(echo(port))
    await until(lambda: only(engine).queued == 1)
    watch.set(runs)
    assert await client == b"hello", "it waited for the container"
    assert not any(text.startswith("ready") for text in texts(engine, forward_id))
    watch.set(found)
    await until(state_is(engine, ForwardState.READY))
    assert await echo(port) == b"hello"


async def test_named_port_is_opened_once_resolved(engine: Engine, backend: FakeBackend) -> None:
    port = find_free_port()
    engine.start(spec(port="http", local_port=None))
    await until(lambda: only(engine).reason == "looking for web")
    assert only(engine).state is ForwardState.STARTING, "whether there is a pod is not known yet"
    assert not only(engine).listening
    backend.watches["web"].set(pod("web-1", port))
    await until(state_is(engine, ForwardState.READY))
    assert only(engine).listening[0].port == port


# Pause, resume, reconnect, stop -------------------------------------------------------


async def test_pause_keeps_the_port_and_refuses(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, watch = await started(engine, backend)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: only(engine).counters.connections_open == 1)
    await engine.pause(forward_id)
    await engine.pause(forward_id)
    forward = only(engine)
    assert (forward.state, forward.paused) == (ForwardState.STOPPED, True)
    assert await reader.read() == b""
    writer.close()
    assert watch.closed
    assert data_path.pool.aborts
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await echo(port)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))
    await engine.resume(forward_id)
    await engine.resume(forward_id)
    await until(state_is(engine, ForwardState.READY))
    assert await echo(port) == b"hello"
    assert only(engine).listening[0].port == port
    engine.reconnect(forward_id)


async def test_reconnect_cuts_and_dials_again(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, _ = await started(engine, backend)
    engine.reconnect(forward_id)
    assert data_path.pool.aborts
    await until(lambda: len(data_path.pool.dialed) == 2)
    await until(state_is(engine, ForwardState.READY))
    assert await echo(port) == b"hello"


async def test_reconnect_during_a_hanging_dial(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    data_path.dials.clear()
    backend.resolutions["web"] = pod("web-1")
    forward_id = engine.start(spec())
    await until(lambda: data_path.pools and data_path.pool.dialed)
    engine.reconnect(forward_id)
    await until(lambda: len(data_path.pool.dialed) == 2)
    data_path.dials.set()
    await until(state_is(engine, ForwardState.READY))


async def test_stop_ends_everything(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, watch = await started(engine, backend)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    await engine.stop(forward_id)
    assert await reader.read() == b""
    writer.close()
    assert engine.forwards() == ()
    assert watch.closed
    assert data_path.pool.closed
    with closing(socket.create_server(("127.0.0.1", port))):
        pass
    totals = engine.totals(())
    assert (totals.bytes_from_pod, totals.connections_total, totals.connections_open) == (5, 1, 0)
    last = (await events_of(engine))[-1]
    assert (last.event, last.reason) == (EventKind.STOPPED, "stopped")
    with pytest.raises(UsageError, match="there is no forward f1"):
        await engine.stop(forward_id)


async def test_stop_is_bounded_while_everything_hangs(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_dialer, "_CLOSE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(connection_table, "_END_TIMEOUT_S", 0.05)
    forward_id, port, _ = await started(engine, backend)
    stuck = asyncio.Event()
    close = data_path.pool.close

    async def hang() -> None:
        await close()
        await stuck.wait()

    monkeypatch.setattr(data_path.pool, "close", hang)
    monkeypatch.setattr("tests.support.fake_engine.FakeConnection.abort", lambda self, reason: None)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: only(engine).counters.connections_open == 1)
    async with asyncio.timeout(60):
        await engine.stop(forward_id)
    writer.close()
    assert engine.forwards() == ()


@pytest.mark.parametrize("command", ["pause", "stop"])
async def test_command_completes_after_its_caller_is_canceled(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath, command: str
) -> None:
    forward_id, port, _ = await started(engine, backend)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: only(engine).counters.connections_open == 1)
    task = asyncio.create_task(getattr(engine, command)(forward_id))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if command == "pause":
        await until(lambda: only(engine).paused)
        await engine.resume(forward_id)
        await until(state_is(engine, ForwardState.READY))
    else:
        await until(lambda: not engine.forwards())
        assert data_path.pool.closed
    writer.close()


async def test_concurrent_stops(engine: Engine, backend: FakeBackend) -> None:
    forward_id, _, _ = await started(engine, backend)
    await asyncio.gather(engine.stop(forward_id), engine.stop(forward_id))
    assert engine.forwards() == ()


async def test_close_of_one_connection(engine: Engine, backend: FakeBackend) -> None:
    forward_id, port, _ = await started(engine, backend)
    one = await asyncio.open_connection("127.0.0.1", port)
    other = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: len(engine.connections()) == 2)
    first, second = engine.connections(forward_id)
    assert first.state is ConnectionState.OPEN or first.state is ConnectionState.QUEUED
    engine.close_connection(first.id)
    engine.close_connection(99)
    await until(lambda: only(engine).counters.connections_open == 1)
    ended = engine.connections()[0]
    assert (ended.id, ended.state, ended.close_reason) == (
        first.id,
        ConnectionState.CLOSED,
        "closed by the user",
    )
    engine.close_connection(first.id)
    open_one = (
        one if ended.client == ":".join(map(str, one[1].get_extra_info("sockname"))) else other
    )
    assert await open_one[0].read() == b""
    for _, writer in (one, other):
        writer.close()
    assert second.id > first.id


async def test_closed_connections_are_dropped_after_a_while(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port, _ = await started(engine, backend)
    await echo(port)
    await until(lambda: engine.connections()[0].state is ConnectionState.CLOSED)
    monkeypatch.setattr(connection_table, "_RECENT_S", -1.0)
    assert engine.connections() == ()


async def test_named_port_of_a_service_is_opened_at_the_services_number(
    engine: Engine, backend: FakeBackend
) -> None:
    number = find_free_port()
    ready = msgspec.structs.replace(pod("web-1", 8080), service_port=number)
    backend.resolutions["web"] = ready
    engine.start(spec(port="http", local_port=None))
    await until(lambda: only(engine).listening)
    assert only(engine).listening[0].port == number
    assert only(engine).remote_port == 8080


async def test_clients_are_named_on_request(engine: Engine, backend: FakeBackend) -> None:
    _, port, _ = await started(engine, backend)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: engine.connections())
    await until(lambda: engine.connections()[0].process)
    assert engine.connections()[0].process.endswith(f"({os.getpid()})")
    writer.close()


# Specs that make no sense -------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (spec(port=""), "no port"),
        (spec(port="0"), "no port 0"),
        (spec(port="70000"), "no port 70000"),
        (spec(local_port=70000), "no local port 70000"),
        (spec(local_port=-1), "no local port -1"),
        (spec(queue_timeout_s=-1), "negative"),
        (spec(context=""), "no context"),
        (spec(""), "no name"),
        (spec(addresses=()), "local address"),
        (spec(addresses=("example.org",)), "example.org"),
    ],
)
async def test_invalid_spec(engine: Engine, wanted: ForwardSpec, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engine.start(wanted)
    assert engine.forwards() == ()


async def test_version_grows_with_changes_but_not_with_bytes(
    engine: Engine, backend: FakeBackend
) -> None:
    _, port, _ = await started(engine, backend)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    version = engine.version
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert engine.version == version
    writer.close()
    await engine.pause("f1")
    assert engine.version > version


# From process to process --------------------------------------------------------------


async def test_connections_wait_during_a_handover(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, port, _ = await started(engine, backend)
    assert {address.port for address in engine.pause_accepting()} == {port}
    late = asyncio.ensure_future(echo(port, b"late"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert only(engine).counters.connections_total == 0
    engine.resume_accepting()
    assert await late == b"late"


async def test_new_engine_keeps_port_and_id(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    forward_id, port, _ = await started(engine, backend)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: only(engine).counters.connections_open == 1)
    dup = {address: sock.dup() for address, sock in engine.pause_accepting().items()}
    other = Engine(backend, monitor_system=False)
    try:
        other.adopt_sockets(dup)
        wanted = msgspec.structs.replace(spec(), local_port=port)
        assert other.start(wanted, forward_id="f7") == "f7"
        await until(state_is(other, ForwardState.READY))
        staying = asyncio.create_task(engine.drain(60))
        assert await echo(port, b"new") == b"new"
        assert only(other).counters.connections_total == 1
        # The one that was open stays where it is, and its engine with it.
        writer.write(b"old")
        assert await reader.readexactly(3) == b"old"
        assert [one.id for one in engine.forwards()] == [forward_id]
        writer.close()
        await staying
        assert not engine.forwards()
        assert other.start(spec("db")) == "f8", "ids are not used twice"
        assert other.start(spec("db"), forward_id="f7") == "f9"
    finally:
        await other.close()


async def test_drain_is_bounded(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    _, port, _ = await started(engine, backend)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: only(engine).counters.connections_open == 1)
    async with asyncio.timeout(60):
        await engine.drain(0.05)
    writer.close()


async def test_unclaimed_sockets_are_closed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_CLAIM_TIMEOUT_S", 0.01)
    (sock,) = bind_sockets(("127.0.0.1",), PortRequest(0, required=True))
    address = LocalAddress(*sock.getsockname())
    engine.adopt_sockets({address: sock})
    await until(lambda: not engine.inherited_sockets)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, address.port)


async def test_one_port_on_two_loopback_addresses(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        (first,) = bind_sockets(("127.0.0.1",), PortRequest(0, required=True))
        port = first.getsockname()[1]
        (other,) = bind_sockets(("127.0.0.2",), PortRequest(port, required=True))
    except ForwardError:
        first.close()
        pytest.skip("this machine has no 127.0.0.2, or the port is taken there")
    monkeypatch.setattr(engine_module, "_CLAIM_TIMEOUT_S", 0.01)
    addresses = [LocalAddress("127.0.0.1", port), LocalAddress("127.0.0.2", port)]
    engine.adopt_sockets(dict(zip(addresses, (first, other), strict=True)))
    wanted = spec(local_port=port, addresses=("127.0.0.1",))
    forward_id, _, _ = await started(engine, backend, wanted)
    assert only(engine).listening == (addresses[0],)
    # The forward with the same port does not need the other address.
    await until(lambda: not engine.inherited_sockets)
    second_id, _, _ = await started(
        engine, backend, spec("db", local_port=port, addresses=("127.0.0.2",))
    )
    assert [one.listening for one in engine.forwards()] == [(one,) for one in addresses]
    await engine.stop(forward_id)
    assert [(one.id, one.listening) for one in engine.forwards()] == [(second_id, (addresses[1],))]
    for address, is_open in zip(addresses, (False, True), strict=True):
        with socket.socket() as probe:
            probe.settimeout(5)
            assert (probe.connect_ex((address.host, port)) == 0) == is_open


# One of two local addresses -----------------------------------------------------------


@pytest.mark.parametrize(("held", "open_"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_held_address_of_localhost_is_a_warning_until_it_is_free(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, held: str, open_: str
) -> None:
    monkeypatch.setattr(open_listener, "_RETRY_S", 0.02)
    family = socket.AF_INET6 if ":" in held else socket.AF_INET
    try:
        holder = socket.create_server((held, 0), family=family)
    except OSError:
        pytest.skip("this machine has no ::1")
    with closing(holder):
        port = holder.getsockname()[1]
        forward_id, _, _ = await started(
            engine, backend, spec(local_port=port, addresses=("localhost",))
        )
        await until(lambda: only(engine).warnings)
        forward = only(engine)
        address = str(LocalAddress(held, port))
        assert (forward.state, forward.code) == (
            ForwardState.READY,
            ReasonCode.LOCAL_ADDRESS_TAKEN,
        )
        assert forward.listening == (LocalAddress(open_, port),)
        (warning,) = forward.warnings
        assert f"{address} is taken by " in warning.reason
        assert f"({os.getpid()})" in warning.reason
        assert str(LocalAddress(open_, port)) in warning.hint
        assert forward.reason == f"forwarding to web-1:8080 by SPDY; {warning.reason}"
        assert await echo(port, host=open_) == b"hello"
    await until(lambda: not only(engine).warnings)
    assert only(engine).code is ReasonCode.FORWARD_READY
    assert [address.host for address in only(engine).listening] == ["127.0.0.1", "::1"]
    assert await echo(port, host=held) == b"hello"
    events = [event.listening for event in await events_of(engine) if event.listening]
    assert [len(addresses) for addresses in events] == [1, 2]
    await engine.pause(forward_id)
    await engine.resume(forward_id)
    await until(state_is(engine, ForwardState.READY))
    await engine.stop(forward_id)
    for host in (held, open_):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, port)


async def test_forwards_share_a_port_on_different_addresses(
    engine: Engine, backend: FakeBackend
) -> None:
    _, port, _ = await started(engine, backend)
    engine.start(spec("db", local_port=port, addresses=("127.0.0.2",)))
    await until(lambda: engine.forwards()[1].listening)
    engine.start(spec("cache", local_port=port, addresses=("localhost",)))
    await until(lambda: engine.forwards()[2].warnings)
    third = engine.forwards()[2]
    assert third.listening == (LocalAddress("::1", port),)
    assert "is taken by the forward f1 to shop/deploy/web:8080" in third.warnings[0].reason


async def test_forward_that_hangs_is_removed(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(engine_module, "_STOP_TIMEOUT_S", 0.05)
    forward_id, port, _ = await started(engine, backend)
    hanging = engine._forwards[forward_id]
    close, allowed = hanging._reconciler.close, asyncio.Event()

    async def hang() -> None:
        await allowed.wait()
        await close()

    monkeypatch.setattr(hanging._reconciler, "close", hang)
    async with asyncio.timeout(60):
        await engine.stop(forward_id)
    assert not engine.forwards()
    assert "has not stopped within" in caplog.text
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    allowed.set()
    await asyncio.gather(*hanging._commands)
