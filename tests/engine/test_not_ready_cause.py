"""`Engine.not_ready_cause`: the error or resolution behind a forward that is not ready."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_engine import FakeBackend, FakeDataPath, pod
from tests.support.reasons import unresolved
from tests.support.waiting import until
from tui_forward.engine.engine import Engine
from tui_forward.engine.forwards import target_follower
from tui_forward.errors import (
    ApiError,
    ConfigError,
    ForwardError,
    TransportError,
    UsageError,
)
from tui_forward.model import ForwardSpec, ForwardState, ReasonCode, Target, TargetKind

SPEC = ForwardSpec(
    target=Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="8080"
    ),
    local_port=0,
    addresses=("127.0.0.1",),
)
GONE = ForwardError("the sandbox is gone", code=ReasonCode.RUNTIME_SANDBOX_GONE)


@pytest.fixture
def backend() -> FakeBackend:
    backend = FakeBackend()
    backend.resolutions["web"] = pod("web-1", 8080)
    return backend


@pytest.fixture
async def data_path(monkeypatch: pytest.MonkeyPatch) -> FakeDataPath:
    return FakeDataPath(monkeypatch)


@pytest.fixture
async def engine(backend: FakeBackend, data_path: FakeDataPath) -> AsyncIterator[Engine]:
    assert not data_path.pools
    engine = Engine(backend, monitor_system=False)
    yield engine
    await engine.close()


async def reached(engine: Engine, state: ForwardState) -> None:
    await until(lambda: engine.forward("f1").state is state)


async def ready(engine: Engine) -> str:
    forward_id = engine.start(SPEC)
    await reached(engine, ForwardState.READY)
    return forward_id


async def test_ready_forward_has_no_cause(engine: Engine) -> None:
    forward_id = await ready(engine)
    assert engine.not_ready_cause(forward_id) is None
    with pytest.raises(UsageError):
        engine.not_ready_cause("f99")
    with pytest.raises(UsageError):
        engine.forward("f99")


async def test_failed_dial_is_the_cause_until_one_succeeds(
    engine: Engine, data_path: FakeDataPath
) -> None:
    error = ApiError("error dialing backend", status=500)
    data_path.dial_error = error
    forward_id = engine.start(SPEC)
    await until(lambda: engine.not_ready_cause(forward_id) == error.reason)
    data_path.dial_error = None
    await reached(engine, ForwardState.READY)
    assert engine.not_ready_cause(forward_id) is None


async def test_lost_tunnel_is_the_cause(engine: Engine, data_path: FakeDataPath) -> None:
    forward_id = await ready(engine)
    data_path.dials.clear()
    data_path.pool.down("cut")
    await reached(engine, ForwardState.RECONNECTING)
    cause = engine.not_ready_cause(forward_id)
    assert cause is not None
    assert (cause.code, cause.text) == (ReasonCode.NETWORK_ERROR, "cut")
    data_path.dials.set()
    await reached(engine, ForwardState.READY)


async def test_tunnel_cut_by_reconnect_is_no_cause(engine: Engine, data_path: FakeDataPath) -> None:
    forward_id = await ready(engine)
    data_path.dials.clear()
    engine.reconnect(forward_id)
    await reached(engine, ForwardState.RECONNECTING)
    assert engine.not_ready_cause(forward_id) is None
    data_path.dials.set()
    await reached(engine, ForwardState.READY)
    data_path.dials.clear()
    data_path.pool.down("cut by others")
    await reached(engine, ForwardState.RECONNECTING)
    assert engine.not_ready_cause(forward_id) is not None
    data_path.dials.set()


async def test_missing_pod_replaces_an_earlier_failure(
    engine: Engine, backend: FakeBackend, data_path: FakeDataPath
) -> None:
    refused = data_path.dial_error = TransportError("refused")
    forward_id = engine.start(SPEC)
    await until(lambda: engine.not_ready_cause(forward_id) == refused.reason)
    missing = unresolved("web-1 is Pending")
    backend.watches["web"].set(missing)
    await until(lambda: engine.not_ready_cause(forward_id) == missing.reason)
    backend.watches["web"].set(pod("web-2", 8080))
    await until(lambda: engine.not_ready_cause(forward_id) == refused.reason)


async def test_gone_sandbox_is_the_cause_of_a_missing_pod(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward_id = await ready(engine)
    engine._forwards[forward_id]._reconciler.invalidate_pod(GONE, pod("web-1").pod)
    missing = unresolved("web-1 is Running, but its tunnel reported it as gone")
    backend.watches["web"].set(missing)
    await reached(engine, ForwardState.RECONNECTING)
    assert engine.not_ready_cause(forward_id) == GONE.reason
    monkeypatch.setattr(target_follower, "_SANDBOX_CAUSE_S", 0.0)
    assert engine.not_ready_cause(forward_id) == missing.reason


async def test_unwatchable_target_is_the_cause(engine: Engine, backend: FakeBackend) -> None:
    error = backend.watch_error = ConfigError("there is no context here")
    forward_id = engine.start(SPEC)
    await reached(engine, ForwardState.BLOCKED)
    assert engine.not_ready_cause(forward_id) == error.reason
    backend.watch_error = None
    engine.retry_waiting("changed")
    await reached(engine, ForwardState.READY)
    assert engine.not_ready_cause(forward_id) is None


async def test_internal_error_is_the_cause(
    engine: Engine, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    forward_id = await ready(engine)
    backend.watches["web"].fail(ZeroDivisionError("bug"))
    await reached(engine, ForwardState.RECONNECTING)
    cause = engine.not_ready_cause(forward_id)
    assert cause is not None
    assert cause.code is ReasonCode.INTERNAL_ERROR
    assert "ZeroDivisionError" in cause.detail
    assert "failed and restarts" in caplog.text
