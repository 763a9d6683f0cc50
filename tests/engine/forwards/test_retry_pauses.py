"""However a dial ends, there is a pause before the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.fake_engine import FakeBackend, FakeDataPath, FakePool, pod
from tests.support.replayed_answers import RecordedAccess, RecordedServer
from tests.support.waiting import until
from tui_forward.engine.engine import Engine
from tui_forward.engine.forwards.backoff import Backoff
from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError
from tui_forward.model import (
    ForwardSpec,
    ForwardState,
    Reason,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.protocol.upgrade import UpgradeRejected
from tui_forward.transport import ServerAccess

# So many dials in half a second mean that there is a pause between them.
PERIOD_S = 0.5
MOST_DIALS = 14

SPEC = ForwardSpec(
    target=Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="80"
    ),
    local_port=0,
    addresses=("127.0.0.1",),
)


@pytest.fixture
def backend() -> FakeBackend:
    backend = FakeBackend()
    backend.resolutions["web"] = pod("web-1", 80)
    return backend


@pytest.fixture
async def engine(backend: FakeBackend) -> AsyncIterator[Engine]:
    engine = Engine(backend, monitor_system=False)
    yield engine
    await engine.close()


ENDS: list[Exception | type[BaseException]] = [
    ApiError("what is this", status=418),
    UpgradeRejected(Reason(code=ReasonCode.API_ERROR, status="599"), status=599),
    ApiError(Reason(code=ReasonCode.POD_NOT_FOUND, pod="web-1"), status=404),
    ApiError(Reason(code=ReasonCode.API_STARTING), status=403),
    AuthError("no"),
    ConfigError("no"),
    TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)),
    KeyError("a bug"),
    OSError(5, "Input/output error"),
    TimeoutError(),
    asyncio.CancelledError,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: getattr(end, "__name__", repr(end))[:40])
async def test_every_end_of_a_dial_is_followed_by_a_pause(
    end: Exception | type[BaseException], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_path = FakeDataPath(monkeypatch)
    data_path.dial_error = end  # type: ignore[assignment]
    await count_dials(engine, lambda: len(data_path.pool.dialed))


async def count_dials(engine: Engine, count: Callable[[], int]) -> None:
    engine.start(SPEC)
    await until(lambda: bool(engine.forwards()[0].retry_at) or engine.forwards()[0].tunnels > 0)
    before = count()
    await asyncio.sleep(PERIOD_S)
    assert count() - before <= MOST_DIALS
    assert engine.forwards()[0].state is not ForwardState.READY


async def test_tunnel_that_ends_at_once_is_followed_by_a_pause(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_path = FakeDataPath(monkeypatch)
    connect = FakePool.connect

    async def connect_and_lose(self: FakePool, ref: object, port: int) -> None:
        await connect(self, ref, port)  # type: ignore[arg-type]
        self.down(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER))

    monkeypatch.setattr(FakePool, "connect", connect_and_lose)
    engine.start(SPEC)
    await until(lambda: bool(data_path.pools))
    await asyncio.sleep(PERIOD_S)
    assert len(data_path.pool.dialed) <= MOST_DIALS


async def test_events_and_requests_do_not_make_it_spin(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_path = FakeDataPath(monkeypatch)
    data_path.dial_error = TransportError("no")
    engine.start(SPEC)
    await until(lambda: bool(data_path.pools))
    until_s = asyncio.get_running_loop().time() + PERIOD_S
    number = 0
    while asyncio.get_running_loop().time() < until_s:
        number += 1
        engine.retry_waiting("a change of the network")
        backend.watches["web"].set(pod("web-1", 80 + number % 2))
        await asyncio.sleep(0)
    assert number > 100
    assert len(data_path.pool.dialed) <= MOST_DIALS


async def test_failing_watch_does_not_make_it_spin(
    engine: Engine, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDataPath(monkeypatch)
    opened = 0
    watch = FakeBackend.watch

    def failing(self: FakeBackend, target: Target) -> object:
        nonlocal opened
        opened += 1
        found = watch(self, target)
        found.fail(RuntimeError("no"))
        return found

    monkeypatch.setattr(FakeBackend, "watch", failing)
    engine.start(SPEC)
    await asyncio.sleep(PERIOD_S)
    assert 1 <= opened <= 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 299 What\r\nContent-Length: 2\r\n\r\n{}",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
    ],
    ids=["eof", "418", "299", "noise", "101", "spdy then eof"],
)
async def test_answers_that_nothing_maps(answer: bytes, backend: FakeBackend) -> None:
    server = RecordedServer("001-healthy")
    server.answer = lambda _kind: (answer, 0.0)  # type: ignore[method-assign, assignment]
    access: ServerAccess = RecordedAccess(server)
    backend.access = lambda _context, _options: access  # type: ignore[method-assign, assignment, misc]
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    engine = Engine(backend, monitor_system=False)
    try:
        engine.start(SPEC)
        await until(lambda: engine.forwards()[0].retry_at is not None)
        before = len(server.requests)
        await asyncio.sleep(PERIOD_S)
        assert (len(server.requests) - before) / 3 <= MOST_DIALS
    finally:
        await engine.close()
        listening.close()
        for task in [*server.serving]:
            task.cancel()
        await asyncio.gather(*server.serving, return_exceptions=True)
        await listening.wait_closed()


def test_pause_grows_with_quick_attempts() -> None:
    backoff = Backoff(shortest_s=0.05)
    now, pauses = 0.0, []
    for _ in range(20):
        backoff.attempted(now)
        pauses.append(round(backoff.earliest_s(now), 3))
        now += pauses[-1]
    assert pauses[0] == 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0
    assert backoff.earliest_s(now + 5) == 0
