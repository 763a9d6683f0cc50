"""Commands for many forwards, of which some are slow or fail."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.fake_session import FakeSession
from tests.support.virtual_time import VirtualTime
from tui_forward.errors import TransportError, UsageError
from tui_forward.model import Forward, ForwardSpec, ReasonCode, Target, TargetKind
from tui_forward.session import batch
from tui_forward.session.batch import run_batch, stop_forwards

STOP_S = 1.0


class SlowSession(FakeSession):
    """Stops take `STOP_S`; some hang, and some fail."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.running = 0
        self.most = 0

    async def stop(self, forward_id: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(3600 if forward_id in self.hanging else STOP_S)
        finally:
            self.running -= 1
        if forward_id in self.failing:
            raise self.failing[forward_id]
        await super().stop(forward_id)


async def with_forwards(count: int) -> tuple[SlowSession, tuple[Forward, ...]]:
    session = SlowSession()
    for number in range(count):
        target = Target(
            context="here", namespace="shop", kind=TargetKind.POD, name=f"w{number}", port="80"
        )
        await session.start(ForwardSpec(target=target))
    return session, tuple(session.forwards.values())


async def test_many_slow_stops_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    VirtualTime(monkeypatch)
    loop = asyncio.get_running_loop()
    session, forwards = await with_forwards(100)
    started = loop.time()
    result = await stop_forwards(session, forwards)
    assert loop.time() - started < 100 * STOP_S / 2
    assert result.done == forwards
    assert not result.failed
    assert not session.forwards
    assert session.most == batch.PARALLEL


async def test_each_stop_has_its_own_result(monkeypatch: pytest.MonkeyPatch) -> None:
    VirtualTime(monkeypatch)
    session, forwards = await with_forwards(40)
    session.hanging = {"f3"}
    session.failing = {"f5": TransportError("gone", hint="do it"), "f7": UsageError("no f7")}
    result = await stop_forwards(session, forwards)
    assert [one.id for one in result.done] == [
        one.id for one in forwards if one.id not in ("f3", "f5", "f7")
    ]
    assert {one.id: error.code for one, error in result.failed} == {
        "f3": ReasonCode.ENGINE_NOT_RESPONDING, "f5": ReasonCode.NETWORK_ERROR,
    }  # fmt: skip
    failure = result.failure("stop", "forward")
    assert failure is not None
    assert failure.message == (
        f"cannot stop 2 forwards: the engine did not answer within {batch.STOP_TIMEOUT_S:g} s; gone"
    )


async def test_error_of_a_single_command_is_passed_on() -> None:
    error = TransportError("gone", hint="do it")
    session, forwards = await with_forwards(1)
    session.failing = {"f1": error}
    assert (await stop_forwards(session, forwards)).failure("stop", "forward") is error


async def test_unexpected_exception_is_raised() -> None:
    async def bug(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_batch(bug, [1, 2], timeout_s=1)


async def test_commands_one_at_a_time_keep_their_order() -> None:
    order: list[int] = []

    async def command(number: int) -> None:
        await asyncio.sleep(0.01 / number)
        order.append(number)

    result = await run_batch(command, [1, 2, 3], timeout_s=5, parallel=1)
    assert order == [1, 2, 3] == list(result.done)
    assert result.failure("start", "forward") is None
