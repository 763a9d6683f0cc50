"""Connections whose pod goes or went, over the real data path to a fake cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.engine.fake_cluster import ECHO, SILENT
from tests.engine.scenario import Scenario
from tests.support.fake_engine import pod
from tests.support.waiting import until
from tui_forward.engine.connections import record
from tui_forward.engine.forwards import connection_table
from tui_forward.model import (
    Connection,
    ConnectionState,
    ContainerExit,
    EventKind,
    Pod,
    ReasonCode,
)

REF = pod("web-1", ECHO).pod
RUNNING = Pod(namespace="shop", name="web-1", uid=REF.uid, phase="Running")
TERMINATING = msgspec.structs.replace(RUNNING, deleting=True, delete_by=2e9)
KILLED = msgspec.structs.replace(
    RUNNING, exits=(ContainerExit(container="c", number=1, code=137, restarted=True),)
)


class Client:
    """An open connection through the forward."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    @property
    def connection(self) -> Connection:
        return self._scenario.engine.connections()[-1]

    async def open(self, data: bytes = b"x") -> None:
        address = self._scenario.forward.listening[0]
        self.reader, self.writer = await asyncio.open_connection(address.host, address.port)
        self.writer.write(data)

    async def exchange(self) -> None:
        await self.open()
        assert await self.reader.read(1) == b"x"

    def close(self) -> None:
        self.writer.close()

    async def closed(self) -> Connection:
        assert await self.reader.read() == b""
        await until(lambda: self.connection.state is ConnectionState.CLOSED)
        return self.connection


@pytest.fixture
async def client(scenario: Scenario) -> AsyncIterator[Client]:
    await scenario.start(ECHO)
    scenario.watch.set_pod(REF, RUNNING)
    client = Client(scenario)
    await client.exchange()
    yield client
    client.close()


def end_streams(scenario: Scenario) -> None:
    """End the streams as a runtime does whose process ended: FIN, no text."""
    for connection in scenario.cluster.live:
        for app in connection.apps:
            app.finish()


async def events(scenario: Scenario, kind: EventKind) -> list[Connection]:
    found = [event.connection for event in await scenario.events() if event.event is kind]
    return [connection for connection in found if connection is not None]


async def test_terminating_pod_is_shown_on_its_connections(
    scenario: Scenario,
    client: Client,
) -> None:
    assert (client.connection.code, client.connection.pod) == (None, "web-1")
    scenario.watch.set_pod(REF, TERMINATING)
    going = client.connection
    assert (going.state, going.code) == (ConnectionState.OPEN, ReasonCode.POD_TERMINATING)
    assert going.ends_by == 2e9
    assert "web-1 is Terminating" in going.reason
    scenario.watch.set(pod("web-2", ECHO))  # the forward moves, the connection does not
    await until(lambda: scenario.forward.pod is not None and scenario.forward.pod.name == "web-2")
    assert client.connection.code is ReasonCode.POD_TERMINATING
    client.writer.write(b"y")
    assert await client.reader.read(1) == b"y"
    scenario.watch.set_pod(REF, TERMINATING)
    changes = await events(scenario, EventKind.CONNECTION_CHANGED)
    assert [change.code for change in changes] == [ReasonCode.POD_TERMINATING]


async def test_end_is_explained_by_an_earlier_report(
    scenario: Scenario,
    client: Client,
) -> None:
    scenario.watch.set_pod(REF, TERMINATING)
    end_streams(scenario)
    ended = await client.closed()
    assert ended.close_code is ReasonCode.CONNECTION_POD_DELETED
    assert ended.close_reason == "closed: pod web-1 was deleted"
    assert not ended.failed


async def test_end_is_explained_by_a_later_report_and_the_client_does_not_wait(
    scenario: Scenario,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_table, "REPORT_LAG_S", 3600.0)
    end_streams(scenario)
    ended = await client.closed()
    assert ended.close_code is ReasonCode.CONNECTION_CLOSED_BY_APPLICATION
    assert scenario.forward.counters.connections_open == 0
    assert not await events(scenario, EventKind.CONNECTION_CLOSED)
    scenario.watch.set_pod(REF, KILLED)
    ended = client.connection
    assert ended.close_code is ReasonCode.CONNECTION_CONTAINER_RESTARTED
    assert ended.close_reason == "closed: container c was restarted (exit code 137)"
    assert await events(scenario, EventKind.CONNECTION_CLOSED) == [ended]


async def test_end_without_a_report_is_the_applications(
    scenario: Scenario,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_table, "REPORT_LAG_S", 0.01)
    end_streams(scenario)
    await client.closed()

    closed: list[Connection] = []
    deadline = time.monotonic() + 10
    while not closed and time.monotonic() < deadline:
        closed = await events(scenario, EventKind.CONNECTION_CLOSED)
    (only,) = closed
    assert only.close_code is ReasonCode.CONNECTION_CLOSED_BY_APPLICATION
    scenario.watch.set_pod(REF, KILLED)
    assert client.connection.close_code is ReasonCode.CONNECTION_CLOSED_BY_APPLICATION


async def test_stop_publishes_ends_that_wait_for_their_cause(
    scenario: Scenario,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_table, "REPORT_LAG_S", 3600.0)
    end_streams(scenario)
    await client.closed()
    await scenario.engine.stop("f1")
    assert len(await events(scenario, EventKind.CONNECTION_CLOSED)) == 1


async def test_ends_that_wait_for_their_cause_are_bounded(
    scenario: Scenario,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_table, "REPORT_LAG_S", 3600.0)
    monkeypatch.setattr(connection_table, "_UNEXPLAINED_MAX", 2)
    others = [Client(scenario) for _ in range(4)]
    for other in others:
        await other.exchange()
    end_streams(scenario)
    await until(lambda: not scenario.forward.counters.connections_open)
    assert len(await events(scenario, EventKind.CONNECTION_CLOSED)) == 3
    for other in others:
        other.close()


async def test_end_without_a_byte_says_so(
    scenario: Scenario,
) -> None:
    await scenario.start(SILENT)
    client = Client(scenario)
    await client.open()
    await until(lambda: scenario.cluster.opened)
    end_streams(scenario)
    ended = await client.closed()
    assert ended.close_code is ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA
    client.close()


async def test_missing_answer_is_shown(
    scenario: Scenario,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await scenario.start(SILENT)
    silent, client = Client(scenario), Client(scenario)
    await silent.open(b"")
    await client.open(b"question")
    await until(lambda: scenario.forward.counters.bytes_to_pod)
    assert all(one.code is None for one in scenario.engine.connections())
    monkeypatch.setattr(record, "_NO_ANSWER_S", 0.0)
    codes = [one.code for one in scenario.engine.connections()]
    assert codes == [None, ReasonCode.CONNECTION_NO_ANSWER], "a silent client waits for nothing"
    assert client.connection.reason == "no answer for 0 s"
    silent.close()
    client.close()
