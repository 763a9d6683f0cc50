"""Refused connections of a ready forward, over the real data path to a fake cluster."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.engine.fake_cluster import ECHO, REFUSED, RESET, SILENT
from tests.engine.scenario import Scenario
from tests.support.fake_engine import pod
from tests.support.recorded_faults import load_fault
from tests.support.waiting import until
from tui_forward.engine.connections import dial_watch
from tui_forward.engine.forwards import connection_queue
from tui_forward.model import EventKind, ForwardState, ReasonCode


async def test_refusal_marks_the_forward_until_a_connection_succeeds(scenario: Scenario) -> None:
    await scenario.start(ECHO)
    scenario.cluster.refused_ports.add(ECHO)
    assert await scenario.connect() == b""
    await until(lambda: scenario.forward.warnings)
    first = scenario.forward
    assert (first.state, first.code) == (ForwardState.READY, ReasonCode.PORT_REFUSED)
    assert first.reason.startswith("nothing listens on ")
    assert first.hint
    (warning,) = first.warnings
    assert (warning.code, warning.count) == (ReasonCode.PORT_REFUSED, 1)
    assert warning.since == warning.last_at > 0
    await scenario.connect()
    await until(lambda: scenario.forward.warnings[0].count == 2)
    assert scenario.forward.warnings[0].last_at > warning.since
    scenario.cluster.refused_ports.clear()
    assert await scenario.connect() == b"x"
    await until(lambda: not scenario.forward.warnings)
    assert scenario.forward.code is ReasonCode.FORWARD_READY
    states = [e.code for e in await scenario.events() if e.event is EventKind.STATE]
    assert states[-3:] == [
        ReasonCode.FORWARD_READY, ReasonCode.PORT_REFUSED, ReasonCode.FORWARD_READY,
    ]  # fmt: skip


async def test_silent_connection_that_is_not_refused_succeeds(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_watch, "_TIMEOUT_S", 0.05)
    await scenario.start(SILENT)
    scenario.cluster.refused_ports.add(SILENT)
    await scenario.connect()
    await until(lambda: scenario.codes == [ReasonCode.PORT_REFUSED])
    scenario.cluster.refused_ports.clear()
    waiting = asyncio.create_task(scenario.connect())
    await until(lambda: not scenario.forward.warnings)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_connection_that_the_client_gives_up_proves_nothing(scenario: Scenario) -> None:
    await scenario.start(SILENT)
    scenario.cluster.refused_ports.add(SILENT)
    await scenario.connect()
    await until(lambda: scenario.codes)
    scenario.cluster.refused_ports.clear()
    address = scenario.forward.listening[0]
    opened = len(scenario.cluster.opened)
    _, writer = await asyncio.open_connection(address.host, address.port)
    await until(lambda: len(scenario.cluster.opened) > opened)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    await until(lambda: not scenario.forward.counters.connections_open)
    assert scenario.codes == [ReasonCode.PORT_REFUSED]


async def test_reset_by_the_application_is_no_refusal(scenario: Scenario) -> None:
    await scenario.start(RESET)
    scenario.cluster.refused_ports.add(RESET)
    await scenario.connect()
    await until(lambda: scenario.codes)
    scenario.cluster.refused_ports.clear()
    await scenario.connect()
    await until(lambda: not scenario.forward.warnings)


async def test_next_pod_is_not_marked(scenario: Scenario) -> None:
    await scenario.start(REFUSED)
    await scenario.connect()
    await until(lambda: scenario.codes)
    scenario.watch.set(pod("web-1", REFUSED, incarnation="2"))
    await until(lambda: not scenario.forward.warnings)
    await scenario.connect()
    await until(lambda: scenario.codes)
    scenario.watch.set(pod("web-2", ECHO))
    await until(lambda: scenario.forward.code is ReasonCode.FORWARD_READY)
    assert not scenario.forward.warnings


async def test_running_container_that_is_not_ready_is_marked_too(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_queue, "_REFUSAL_GRACE_S", 0.2)
    await scenario.start(REFUSED)
    scenario.watch.set(pod("web-1", REFUSED, ready=False))
    await until(lambda: scenario.codes == [ReasonCode.POD_NOT_READY])
    waiting = asyncio.create_task(scenario.connect())
    await until(lambda: ReasonCode.PORT_REFUSED in scenario.codes)
    assert not waiting.done(), "it waits for the pod to become Ready"
    assert scenario.forward.code is ReasonCode.PORT_REFUSED
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("040-port-closed", "nothing listens on 127.0.0.1:7999 in pod web-1"),
        ("042-port-loopback6-only", "nothing listens on 127.0.0.1:7000 in pod web-1"),
        (
            "048-hostnetwork-port-closed",
            "nothing listens on 127.0.0.1:7998 on node node-a (host network)",
        ),
        ("052-port-udp-only", "nothing listens on 127.0.0.1:9053 in pod web-1"),
    ],
)
async def test_recorded_refusals_name_what_was_tried(
    scenario: Scenario, fault: str, text: str
) -> None:
    scenario.cluster.refused_text = load_fault(fault)["error_stream"][0]["text"]
    await scenario.start(REFUSED)
    await scenario.connect()
    await until(lambda: scenario.codes)
    assert scenario.forward.reason == text
    assert "::1 was not tried" in scenario.forward.hint
    (closed,) = scenario.engine.connections()
    assert closed.close_code is ReasonCode.PORT_REFUSED
    assert "127.0.0.1:" in closed.close_reason
