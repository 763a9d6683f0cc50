"""Refused, reset, half-closed and late connections end correctly and affect no other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from tests.endurance import toolbox
from tests.endurance.clients import Client, connected, download, echo
from tests.endurance.engine_process import ForwardHandle, running_forward
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import Connection, ForwardState, ReasonCode, TransportChoice

TRANSPORTS = (TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS)


@pytest.fixture(params=TRANSPORTS, ids=str)
def transport(request: pytest.FixtureRequest) -> TransportChoice:
    return TransportChoice(request.param)


@pytest.fixture
async def neighbor(
    session: RemoteSession, transport: TransportChoice
) -> AsyncIterator[ForwardHandle]:
    """Return a forward with a connection in permanent use; it must never be disturbed."""
    async with running_forward(session, toolbox.ECHO, transport=transport) as forward:
        async with connected(forward.port) as client:

            async def exchange_continuously() -> None:
                while True:
                    await client.send(b"still there?")
                    assert await client.receive_exactly(12) == b"still there?"
                    await asyncio.sleep(0.03)

            exchanges = asyncio.create_task(exchange_continuously())
            yield forward
            await asyncio.sleep(0.05)
            assert not exchanges.done(), exchanges.exception()
            exchanges.cancel()
            await asyncio.gather(exchanges, return_exceptions=True)
        await echo(forward.port)


async def wait_for_end(session: RemoteSession, forward: ForwardHandle, client: str) -> Connection:
    """Return the connection of a client, as the engine reports it after its end."""
    for _ in range(600):
        for connection in await session.connections(forward.id):
            if connection.client == client and connection.closed_at is not None:
                return connection
        await asyncio.sleep(0.1)
    raise AssertionError(f"{client} has not ended: {await session.connections(forward.id)}")


async def send_and_expect_end(client: Client, data: bytes) -> None:
    """Send, and expect the end of the connection without a response."""
    with contextlib.suppress(ConnectionError):
        await client.send(data)
        assert await client.receive() == b""


async def expect_refusal(session: RemoteSession, forward: ForwardHandle, data: bytes) -> None:
    async with connected(forward.port) as client:
        name = client.name
        await send_and_expect_end(client, data)
    connection = await wait_for_end(session, forward, name)
    assert connection.failed
    assert connection.close_code is ReasonCode.PORT_REFUSED


async def test_refused_connections_fail_with_a_reason(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with running_forward(
        session, toolbox.CLOSED, transport=transport, queue_timeout_s=120
    ) as forward:
        # With and without data, and several at a time.
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for data in (b"GET / HTTP/1.1\r\n\r\n", b"", b"x" * 100_000, b"hello"):
                    group.create_task(expect_refusal(session, forward, data))
            await echo(neighbor.port)
        status = await forward.status()
        assert status.state is ForwardState.READY, "only the port is missing, not the pod"
        assert status.counters.connections_failed == 8
        assert status.warnings[0].code is ReasonCode.PORT_REFUSED


async def test_reset_by_the_application_ends_one_connection(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with (
        running_forward(session, toolbox.RESET_LATE, transport=transport) as forward,
        connected(forward.port) as idle,
    ):
        for _ in range(3):
            async with connected(forward.port) as client:
                name = client.name
                await send_and_expect_end(client, b"now")
            await wait_for_end(session, forward, name)
            await echo(neighbor.port)
        assert (await forward.status()).state is ForwardState.READY
        # A connection of the same forward that has not sent anything stays open.
        connections = await session.connections(forward.id)
        assert idle.name in [each.client for each in connections if each.closed_at is None]
        await send_and_expect_end(idle, b"x")


async def test_reset_by_the_client_ends_one_connection(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with running_forward(session, toolbox.SOURCE, transport=transport) as forward:
        async with connected(forward.port) as other:
            await other.send(b"1000000 keep\n")
            for _ in range(5):
                async with connected(forward.port) as client:
                    await client.send(b"%d\n" % (1 << 40))
                    await client.receive_exactly(200_000)
                    client.reset()
            await other.receive_exactly(1_000_000)
            await other.send(b"5\n")
            assert await other.receive_exactly(5) == bytes(range(5))
        await download(forward.port, 300_000)
        await forward.wait_until_unused()


async def test_half_close_by_the_application_is_no_failure(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async with running_forward(session, toolbox.BYE, transport=transport) as forward:

        async def receive_bye() -> None:
            async with connected(forward.port) as client:
                name = client.name
                assert await client.receive_all() == b"bye\n"
            connection = await wait_for_end(session, forward, name)
            assert not connection.failed, connection
            assert connection.bytes_from_pod == 4

        await asyncio.gather(*(receive_bye() for _ in range(3)))
        await echo(neighbor.port)


async def test_response_three_seconds_after_half_close_by_the_client_arrives(
    session: RemoteSession, transport: TransportChoice, neighbor: ForwardHandle
) -> None:
    async def request(forward: ForwardHandle, number: int) -> float:
        began = time.monotonic()
        async with connected(forward.port) as client:
            await client.send(b"answer-%d 3\n" % number)
            client.send_eof()
            assert await client.receive_all() == b"late answer-%d\n" % number
        return time.monotonic() - began

    async with running_forward(session, toolbox.LATE, transport=transport) as forward:
        seconds = await asyncio.gather(*(request(forward, number) for number in range(4)))
        assert min(seconds) > 2.5
        assert (await forward.status()).counters.connections_failed == 0
