"""Connections that are refused, reset, half-closed or answered late affect no other connection."""

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
async def neighbor(
    session: RemoteSession, transport: TransportChoice
) -> AsyncIterator[ForwardHandle]:
    """Return an echo forward with a continuous exchange that must not be disturbed."""
    async with running_forward(session, 7000, transport=transport) as line:
        async with connected(line.port) as client:

            async def exchange_forever() -> None:
                while True:
                    await client.send(b"still there?")
                    assert await client.receive_exactly(12) == b"still there?"
                    await asyncio.sleep(0.01)

            exchange = asyncio.create_task(exchange_forever())
            yield line
            await asyncio.sleep(0.05)
            assert not exchange.done(), exchange.exception()
            exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)
        await echo(line.port)


async def wait_for_closed_connection(
    session: RemoteSession, line: ForwardHandle, client: str
) -> Connection:
    """Return the engine's record of a connection that has ended."""
    for _ in range(1000):
        for connection in await session.connections(line.id):
            if connection.client == client and connection.closed_at is not None:
                return connection
        await asyncio.sleep(0.01)
    raise AssertionError(f"{client} has not ended: {await session.connections(line.id)}")


async def expect_cut(client: Client, data: bytes) -> None:
    """Send `data` and expect an end without a response."""
    with contextlib.suppress(ConnectionError):
        await client.send(data)
        assert await client.receive() == b""


async def test_connection_to_closed_port_fails(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with running_forward(session, 7999, transport=transport) as line:
        # With data, without data, concurrently.
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for data in (b"GET / HTTP/1.1\r\n\r\n", b"", b"x" * 100_000, b"hello"):
                    group.create_task(expect_refused(session, line, data))
            await echo(neighbor.port)
        forward = await line.forward()
        assert forward.state is ForwardState.READY, "only the port is closed"
        assert forward.counters.connections_failed == 8
        assert "nothing listens on port 7999" in await line.timeline()


async def expect_refused(session: RemoteSession, line: ForwardHandle, data: bytes) -> None:
    async with connected(line.port) as client:
        name = client.name
        await expect_cut(client, data)
    ended = await wait_for_closed_connection(session, line, name)
    assert ended.failed
    assert "nothing listens on port 7999" in ended.close_reason


async def test_reset_by_the_application_closes_one_connection(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with (
        running_forward(session, 7010, transport=transport) as line,
        connected(line.port) as patient,
    ):
        for _ in range(3):
            async with connected(line.port) as client:
                name = client.name
                await expect_cut(client, b"now")
            await wait_for_closed_connection(session, line, name)
            await echo(neighbor.port)
        assert (await line.forward()).state is ForwardState.READY
        # An idle connection of the same forward stays open.
        open_ones = [c for c in await session.connections(line.id) if c.closed_at is None]
        assert patient.name in [c.client for c in open_ones]
        await expect_cut(patient, b"x")


async def test_reset_by_the_client_closes_one_connection(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
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


async def test_half_close_by_the_application_is_no_failure(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with running_forward(session, 7007, transport=transport) as line:

        async def receive_goodbye() -> None:
            async with connected(line.port) as client:
                name = client.name
                assert await client.receive_all() == b"bye\n"
            ended = await wait_for_closed_connection(session, line, name)
            assert not ended.failed, ended
            assert ended.bytes_from_pod == 4

        await asyncio.gather(*(receive_goodbye() for _ in range(3)))
        await echo(neighbor.port)


async def test_response_after_the_clients_half_close_arrives(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async def ask(line: ForwardHandle, number: int) -> float:
        began = time.monotonic()
        async with connected(line.port) as client:
            await client.send(b"answer-%d 2\n" % number)
            client.send_eof()
            assert await client.receive_all() == b"late answer-%d\n" % number
        return time.monotonic() - began

    async with running_forward(session, 7006, transport=transport) as line:
        took = await asyncio.gather(*(ask(line, number) for number in range(4)))
        assert min(took) > 1.5
        assert (await line.forward()).counters.connections_failed == 0
