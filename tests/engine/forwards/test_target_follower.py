from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tests.support.fake_engine import FakeBackend, pod
from tests.support.waiting import until
from tui_forward.engine.forwards import target_follower
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.forwards.target_follower import TargetFollower, same_tunnels
from tui_forward.errors import ForwardError
from tui_forward.model import Reason, ReasonCode, Resolution, Target, TargetKind, Unresolved

TARGET = Target(context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="80")
GONE = ForwardError(Reason(code=ReasonCode.RUNTIME_SANDBOX_GONE))
MISSING = Unresolved(reason=Reason(code=ReasonCode.TARGET_NOT_FOUND))


class Recorder:
    """What a follower tells of a forward."""

    def __init__(self) -> None:
        self.remote_port: int | None = None
        self.problems: list[str] = []

    def record_problem(self, _kind: object, text: str, _code: object) -> None:
        self.problems.append(text)


class Scenario:
    def __init__(self) -> None:
        self.backend = FakeBackend()
        self.recorder = Recorder()
        self.resolved: list[Resolution] = []
        self.follower = TargetFollower(
            TARGET, pods=PodMonitor(lambda: None), recorder=cast("StatusRecorder", self.recorder),
            on_resolved=self.resolved.append,
        )  # fmt: skip

    def open(self) -> Any:
        watch = self.follower.open(self.backend)
        self.follower.observe(watch)
        return self.backend.watches["web"]


@pytest.fixture
async def scenario() -> Scenario:
    return Scenario()


async def test_each_resolution_is_reported(scenario: Scenario) -> None:
    assert scenario.follower.resolution.reason.code is ReasonCode.TARGET_RESOLVING  # type: ignore[union-attr]
    watch = scenario.open()
    waiting = asyncio.create_task(scenario.follower.next(watch))
    watch.set(pod("web-9", 8080))
    await waiting
    assert scenario.follower.resolution == scenario.resolved[-1] == pod("web-9", 8080)
    assert scenario.recorder.remote_port == 8080


async def test_gone_sandbox_explains_a_missing_pod_for_a_moment(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = scenario.open()
    used = pod("web-1").pod
    scenario.follower.record_gone_sandbox(used, GONE)
    assert watch.invalidated == [used.uid]
    assert scenario.recorder.problems[0].startswith("pod web-1: ")
    waiting = asyncio.create_task(scenario.follower.next(watch))
    watch.set(MISSING)
    await waiting
    assert scenario.follower.missing_cause == GONE.reason
    monkeypatch.setattr(target_follower, "_SANDBOX_CAUSE_S", 0.0)
    await until(lambda: scenario.follower.missing_cause == MISSING.reason)


async def test_closed_follower_keeps_its_resolution_until_it_forgets(scenario: Scenario) -> None:
    watch = scenario.open()
    known = scenario.follower.resolution
    scenario.follower.close()
    scenario.follower.close()
    assert watch.closed
    assert not scenario.follower.is_open
    scenario.follower.invalidate("uid")  # has no effect
    assert watch.invalidated == []
    assert scenario.follower.resolution == known
    scenario.follower.forget()
    assert isinstance(scenario.follower.resolution, Unresolved)


def test_tunnels_depend_on_pod_and_port_only() -> None:
    one = pod("web-1", 80, ready=True, incarnation="1")
    assert same_tunnels(one, pod("web-1", 80, ready=False, incarnation="2"))
    assert not same_tunnels(one, pod("web-1", 81))
    assert not same_tunnels(one, pod("web-2", 80))
    assert not same_tunnels(one, MISSING)
