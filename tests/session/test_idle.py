"""What wakes an engine process while nothing happens."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fake_engine import FakeBackend, FakeDataPath, echo, pod
from tests.support.virtual_time import VirtualTime
from tests.support.waiting import until
from tui_forward.common.file_checks import FILE_CHECKS
from tui_forward.engine import engine as engine_module
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.liveness import LivenessMonitor
from tui_forward.errors import AuthError, TuiForwardError
from tui_forward.model import ForwardSpec, ForwardState, Target, TargetKind
from tui_forward.session.local import LocalSession


def timers() -> list[float]:
    """Return in how many seconds each timer of the event loop is due."""
    loop = asyncio.get_running_loop()
    scheduled = loop._scheduled  # type: ignore[attr-defined]
    return sorted(one.when() - loop.time() for one in scheduled if not one.cancelled())


def spec(name: str) -> ForwardSpec:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name=name, port="80"
    )
    return ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",))


def states(session: LocalSession) -> set[ForwardState]:
    return {forward.state for forward in session._engine.forwards()}


async def test_idle_session_has_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDataPath(monkeypatch)
    backend = FakeBackend()
    session = LocalSession(backend=backend, monitor_system=False)
    for number in range(5):
        backend.resolutions[f"web-{number}"] = pod(f"web-{number}-1")
        await session.start(spec(f"web-{number}"))

    await until(lambda: states(session) == {ForwardState.READY})
    await until(lambda: not timers())

    # The traffic after a pause is in the right second.
    monkeypatch.setattr(engine_module, "_HISTORY_INTERVAL_S", 0.01)
    port = (await session.snapshot()).forwards[0].listening[0].port
    assert await echo(port, b"hello") == b"hello"
    histories = {one.forward_id: one for one in await session.histories()}
    for history in histories.values():
        assert sum(down for down, _ in history.seconds) <= 5
    await session.close()


async def test_timers_of_an_idle_session_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDataPath(monkeypatch)
    backend = FakeBackend()
    time = VirtualTime(monkeypatch)
    session = LocalSession(backend=backend, monitor_system=False)
    for number in range(15):
        backend.resolutions[f"web-{number}"] = pod(f"web-{number}-1")
        await session.start(spec(f"web-{number}"))
    await until(lambda: states(session) == {ForwardState.READY})

    # A connection that is open and silent: its traffic is recorded for the charts.
    port = (await session.snapshot()).forwards[0].listening[0].port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await time.pass_seconds(60)
    await time.pass_seconds(120)
    assert time.fired.keys() == {"Engine._record_histories", "HeapTrimmer.run"}
    assert time.fired["Engine._record_histories"] <= 121
    assert time.fired["HeapTrimmer.run"] <= 41

    writer.close()
    assert await reader.read() == b""
    await time.pass_seconds(60)
    await time.pass_seconds(120)
    assert not time.fired
    await session.close()


async def test_changes_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDataPath(monkeypatch)
    backend = FakeBackend()
    session = LocalSession(backend=backend, monitor_system=False)
    changes = session.changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done()
    backend.on_change()
    backend.on_change()
    first = await waiting
    backend.resolutions["web"] = pod("web-1")
    await session.start(spec("web"))
    assert await anext(changes) > first
    await session.close()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


async def test_blocked_forward_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FILE_CHECKS, "interval_s", 0.01)
    data_path = FakeDataPath(monkeypatch)
    backend = FakeBackend()
    session = LocalSession(backend=backend, monitor_system=False)
    data_path.dial_error = AuthError("log in")
    backend.resolutions["web"] = pod("web-1")
    await session.start(spec("web"))
    await until(lambda: states(session) == {ForwardState.BLOCKED})
    data_path.dial_error = None
    backend.current_revision += 1
    await until(lambda: states(session) == {ForwardState.READY}, 3.0)
    await session.close()


async def test_tunnels_are_checked_at_the_same_moments() -> None:
    class Tunnel:
        last_received_at = 0.0
        is_monitored = False
        oldest_ping_at: float | None = None

        def send_ping(self) -> None: ...

        def expire_channels(self, opened_before: float) -> None: ...

        def may_be_blocked(self) -> bool:
            return False

        def abort(self, error: TuiForwardError) -> None: ...

    monitors = [LivenessMonitor(Tunnel(), Limits()) for _ in range(3)]
    for monitor in monitors:
        monitor.start()
        await asyncio.sleep(0.01)
    due = timers()
    for monitor in monitors:
        monitor.stop()
    assert max(due) - min(due) < 0.001 or max(due) - min(due) == pytest.approx(5.0, abs=0.001)
    assert 2.4 < min(due) <= max(due) < 7.6
