"""Refused, reset, half-closed, late: each connection ends in its own way, and alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from tests.endurance.clients import Client, connected, download, echo
from tests.endurance.engine_process import ForwardHandle, running_forward
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import Connection, ForwardState, TransportChoice

pytestmark = pytest.mark.timeout(60)

TRANSPORTS = (TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS)


@pytest.fixture(params=TRANSPORTS, ids=lambda transport: str(transport))
def transport(request: pytest.FixtureRequest) -> TransportChoice:
    return TransportChoice(request.param)


@pytest.fixture
async def neighbour(
    session: RemoteSession, transport: TransportChoice
) -> AsyncIterator[ForwardHandle]:
    """An echo on which a conversation goes on all the time; it must never be disturbed."""
    async with running_forward(session, 7000, transport=transport) as line:
        async with connected(line.port) as client:

            async def talk() -> None:
                while True:
                    await client.send(b"still there?")
                    assert await client.receive_exactly(12) == b"still there?"
                    await asyncio.sleep(0.01)

            talking = asyncio.create_task(talk())
            yield line
            await asyncio.sleep(0.05)
            assert not talking.done(), talking.exception()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        await echo(line.port)


async def end_of(session: RemoteSession, line: ForwardHandle, client: str) -> Connection:
    """What the engine says of a connection that has ended."""
    for _ in range(1000):
        for connection in await session.connections(line.id):
            if connection.client == client and connection.closed_at is not None:
                return connection
        await asyncio.sleep(0.01)
    raise AssertionError(f"{client} has not ended: {await session.connections(line.id)}")


async def cut(client: Client, data: bytes) -> None:
    """Send, and meet an end without an answer."""
    with contextlib.suppress(ConnectionError):
        await client.send(data)
        assert await client.receive() == b""


async def test_refused(
    session: RemoteSession, transport: TransportChoice, neighbour: ForwardHandle
) -> None:
    async with running_forward(session, 7999, transport=transport) as line:
        # With data, without, and many at a time.
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for data in (b"GET / HTTP/1.1\r\n\r\n", b"", b"x" * 100_000, b"hello"):
                    group.create_task(refused(session, line, data))
            await echo(neighbour.port)
        forward = await line.forward()
        assert forward.state is ForwardState.READY, "the pod is there; only the port is not"
        assert forward.counters.connections_failed == 12
        assert "nothing listens on port 7999" in await line.timeline()


async def refused(session: RemoteSession, line: ForwardHandle, data: bytes) -> None:
    async with connected(line.port) as client:
        name = client.name
        await cut(client, data)
    ended = await end_of(session, line, name)
    assert ended.failed
    assert "nothing listens on port 7999" in ended.close_reason


async def test_reset_by_the_application(
    session: RemoteSession, transport: TransportChoice, neighbour: ForwardHandle
) -> None:
    async with (
        running_forward(session, 7010, transport=transport) as line,
        connected(line.port) as patient,
    ):
        for _ in range(3):
            async with connected(line.port) as client:
                name = client.name
                await cut(client, b"now")
            await end_of(session, line, name)
            await echo(neighbour.port)
        assert (await line.forward()).state is ForwardState.READY
        # One on the same forward that has not sent anything is as alive as before.
        open_ones = [c for c in await session.connections(line.id) if c.closed_at is None]
        assert patient.name in [c.client for c in open_ones]
        await cut(patient, b"x")


async def test_reset_by_the_client(
    session: RemoteSession, transport: TransportChoice, neighbour: ForwardHandle
) -> None:
    async with running_forward(session, 7002, transport=transport) as line:
        async with connected(line.port) as other:
            await other.send(b"1000000 keep\n")
            for _ in range(5):
                async with connected(line.port) as client:
                    await client.send(b"%d\n" % (1 << 40))
                    await client.receive_exactly(200_000)
                    client.reset()
            await other.receive_exactly(1_000_000)
            await other.send(b"5\n")
            assert await other.receive_exactly(5) == bytes(range(5))
        await download(line.port, 300_000)
        await line.wait_until(
            lambda forward: forward.counters.connections_open == 0, "the end of all connections"
        )


async def test_half_closed_by_the_application(
    session: RemoteSession, transport: TransportChoice, neighbour: ForwardHandle
) -> None:
    async with running_forward(session, 7007, transport=transport) as line:
        for _ in range(3):
            async with connected(line.port) as client:
                name = client.name
                assert await client.receive_all() == b"bye\n"
            ended = await end_of(session, line, name)
            assert not ended.failed, ended
            assert ended.bytes_from_pod == 4
        await echo(neighbour.port)


async def test_an_answer_three_seconds_after_the_clients_end_arrives(
    session: RemoteSession, transport: TransportChoice, neighbour: ForwardHandle
) -> None:
    async def ask(line: ForwardHandle, number: int) -> float:
        began = time.monotonic()
        async with connected(line.port) as client:
            await client.send(b"answer-%d 3\n" % number)
            client.send_eof()
            assert await client.receive_all() == b"late answer-%d\n" % number
        return time.monotonic() - began

    async with running_forward(session, 7006, transport=transport) as line:
        took = await asyncio.gather(*(ask(line, number) for number in range(4)))
        assert min(took) > 2.5
        assert (await line.forward()).counters.connections_failed == 0
