from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from tests.engine.fake_cluster import (
    ECHO,
    GONE,
    GREETER,
    LATE,
    REFUSED,
    RESET,
    SILENT,
    SINK,
    SOURCE,
    SOURCE_BYTES,
)
from tests.engine.harness import POD, bench, receive
from tests.support.reasons import because
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.model import ConnectionState, ReasonCode, TransportChoice

SPDY, WEBSOCKET, CHANNELS = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)


@pytest.mark.parametrize(
    "transport", [TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS]
)
async def test_bytes_come_back_and_are_counted(transport: TransportChoice) -> None:
    async with bench(transport=transport) as made:
        await made.open(ECHO)
        client = made.accept()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"x" * 100_000)
        assert await receive(client, 100_000) == b"x" * 100_000
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 1) == b""
        client.close()
        await made.tasks[0]
        seen = made.connections[0].snapshot(0)
        assert (seen.bytes_from_pod, seen.bytes_to_pod) == (100_000, 100_000)
        assert seen.state is ConnectionState.CLOSED
        assert not seen.failed
        assert made.gate.counters.bytes_from_pod == 100_000
        await until(lambda: made.pool.tunnels <= 2)


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_a_long_download_is_complete_then_ends(transport: TransportChoice) -> None:
    async with bench(transport=transport) as made:
        await made.open(SOURCE)
        client = made.accept()
        data = await receive(client, SOURCE_BYTES + 1)
        assert len(data) == SOURCE_BYTES
        await made.tasks[0]
        seen = made.connections[0].snapshot(0)
        assert seen.bytes_from_pod == SOURCE_BYTES == made.gate.counters.bytes_from_pod
        assert seen.close_reason == "closed by the application"
        assert seen.first_byte_s is not None
        client.close()


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_a_long_upload_is_complete(transport: TransportChoice) -> None:
    async with bench(transport=transport) as made:
        await made.open(SINK)
        client = made.accept()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, bytes(5_000_000))
        await until(lambda: made.chain.sunk == 5_000_000)
        assert made.gate.counters.bytes_to_pod == 5_000_000
        client.close()
        await made.tasks[0]
        assert not made.connections[0].failed


async def test_the_opening_and_the_first_bytes_leave_together() -> None:
    async with bench(replace(Limits(), spare=0)) as made:
        await made.open(ECHO)
        wire = made.chain.live[0]
        chunks: list[int] = []
        received = wire.data_received

        def count(data: bytes) -> None:
            chunks.append(len(data))
            received(data)

        wire.data_received = count  # type: ignore[method-assign]
        wire.transport.set_protocol(wire)
        client = made.accept()
        client.send(b"GET / HTTP/1.0")
        assert await receive(client, 14) == b"GET / HTTP/1.0"
        assert len(chunks) == 1
        client.close()


async def test_a_server_that_speaks_first_is_heard() -> None:
    async with bench() as made:
        await made.open(GREETER)
        client = made.accept()
        assert await receive(client, 5) == b"hello"
        client.close()


async def test_a_late_answer_after_the_clients_end_of_file_arrives() -> None:
    async with bench() as made:
        await made.open(LATE)
        client = made.accept(half_close_timeout_s=5.0)
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 100) == b"late answer"
        assert made.chain.eofs == 0
        await made.tasks[0]
        assert made.connections[0].snapshot(0).close_reason == "closed by the client"
        client.close()


async def test_the_end_of_file_is_passed_on_when_the_pod_stays_silent() -> None:
    async with bench() as made:
        await made.open(SINK)
        client = made.accept(half_close_timeout_s=0.05)
        client.send(b"data")
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 1) == b""
        assert made.chain.eofs == 1
        await made.tasks[0]
        client.close()


async def test_a_refusal_by_a_ready_container_resets_that_connection_only() -> None:
    async with bench() as made:
        await made.open(REFUSED)
        client = made.accept()
        await made.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        client.close()
        assert made.connections[0].failed
        assert made.gate.counters.connections_failed == 1
        assert [failure.code for failure in made.gate.failures] == [ReasonCode.PORT_REFUSED]
        assert made.pool.up


async def test_a_refusal_by_an_unready_container_is_tried_again_with_the_same_bytes() -> None:
    async with bench() as made:
        await made.open(ECHO)
        made.gate.ready = False
        made.chain.refused_ports.add(ECHO)
        client = made.accept()
        client.send(b"keep me")
        await until(lambda: len(made.chain.opened) >= 2)
        made.chain.refused_ports.clear()
        assert await receive(client, 7) == b"keep me"
        # Counted once, however often it was sent.
        assert made.connections[0].snapshot(0).bytes_to_pod == 7
        client.close()


async def test_retries_of_refusals_end_with_the_time_to_park() -> None:
    async with bench() as made:
        await made.open(REFUSED)
        made.gate.ready = False
        client = made.accept(queue_timeout_s=0.2)
        await made.tasks[0]
        assert made.connections[0].failed
        client.close()


async def test_what_was_answered_is_never_sent_again() -> None:
    async with bench() as made:
        await made.open(ECHO)
        made.gate.ready = False
        client = made.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        made.chain.cut()
        await made.tasks[0]
        assert made.chain.opened == [ECHO]
        assert made.connections[0].failed
        assert "tunnel was lost" in made.connections[0].snapshot(0).close_reason
        client.close()


async def test_the_last_words_before_a_reset_are_delivered() -> None:
    async with bench() as made:
        await made.open(RESET)
        client = made.accept()
        client.send(b"x")
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(client, 100) == b"last words"
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(client, 100)
        await made.tasks[0]
        assert [failure.code for failure in made.gate.failures] == [ReasonCode.PORT_RESET]
        client.close()


async def test_a_vanished_sandbox_is_reported_and_the_connection_waits_for_the_next_pod() -> None:
    async with bench() as made:
        await made.open(GONE)
        client = made.accept()
        await until(lambda: made.gate.gone)
        await made.pool.connect(POD, ECHO)
        client.send(b"hi")
        assert await receive(client, 2) == b"hi"
        client.close()


async def test_a_parked_connection_goes_through_when_a_pool_is_up() -> None:
    async with bench() as made:
        made.gate.open.clear()
        client = made.accept()
        client.send(b"early")
        await until(lambda: made.connections[0].state is ConnectionState.QUEUED)
        await made.open(ECHO)
        made.gate.open.set()
        assert await receive(client, 5) == b"early"
        client.close()


async def test_a_parked_client_that_leaves_is_let_go() -> None:
    async with bench() as made:
        made.gate.open.clear()
        client = made.accept(queue_timeout_s=60)
        client.close()
        await asyncio.wait_for(made.tasks[0], 5)
        assert not made.connections[0].failed


async def test_parking_ends_with_a_reason() -> None:
    async with bench() as made:
        made.gate.open.clear()
        client = made.accept(queue_timeout_s=0.1)
        await made.tasks[0]
        assert made.connections[0].failed
        assert "no tunnel to the pod within 0.1 s" in made.connections[0].snapshot(0).close_reason
        client.close()


async def test_a_client_that_resets_ends_its_streams_and_nothing_else() -> None:
    async with bench() as made:
        await made.open(SILENT)
        client = made.accept()
        await until(lambda: made.chain.opened)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await made.tasks[0]
        await until(lambda: made.chain.resets == 1)
        assert not made.connections[0].failed
        assert made.pool.up


@pytest.mark.parametrize("transport", [SPDY, CHANNELS])
async def test_aborting_resets_the_client_and_frees_the_pod(transport: TransportChoice) -> None:
    async with bench(transport=transport) as made:
        await made.open(SILENT)
        opened = len(made.chain.opened)
        client = made.accept()
        await until(lambda: len(made.chain.opened) > opened)
        await until(lambda: made.connections[0].state is ConnectionState.OPEN)
        made.connections[0].abort(because("because"))
        await made.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        assert made.connections[0].snapshot(0).close_reason == "because"
        client.close()


async def test_cancelling_run_resets_the_client() -> None:
    async with bench() as made:
        await made.open(SILENT)
        client = made.accept()
        await until(lambda: made.chain.opened)
        made.tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await made.tasks[0]
        made.tasks.clear()
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        client.close()


async def test_a_slow_reader_alone_on_its_tunnel_gets_every_byte_later() -> None:
    limits = replace(Limits(), stream_buffer=100_000)
    async with bench(limits) as made:
        await made.open(SOURCE)
        client = made.accept(small=True)
        await until(lambda: made.pool.budget.memory >= 100_000)
        assert made.pool.budget.memory < 100_000 + 262_144
        assert len(await receive(client, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await made.tasks[0]
        assert made.pool.budget.memory == 0
        client.close()


async def test_a_slow_reader_on_a_shared_tunnel_is_kept_on_disk_and_nobody_waits() -> None:
    limits = replace(Limits(), stream_buffer=1000, max_tunnels=1, spare=0)
    async with bench(limits) as made:
        await made.open(SOURCE)
        slow = made.accept(small=True)
        fast = made.accept()
        assert made.pool.tunnels == 1
        assert len(await receive(fast, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await until(lambda: made.pool.budget.disk)
        assert made.pool.budget.memory < 600_000
        assert len(await receive(slow, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await asyncio.gather(*made.tasks)
        assert not any(connection.failed for connection in made.connections)
        assert (made.pool.budget.memory, made.pool.budget.disk) == (0, 0)


async def test_a_slow_reader_on_a_shared_tunnel_yields_when_there_is_no_more_room() -> None:
    limits = replace(
        Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.1, max_tunnels=1, spare=0
    )
    async with bench(limits) as made:
        await made.open(SOURCE)
        made.accept(small=True)
        fast = made.accept()
        assert len(await receive(fast, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await made.tasks[0]
        assert made.connections[0].failed
        assert "stopped reading" in made.connections[0].snapshot(0).close_reason
        assert not made.connections[1].failed


async def test_short_connections_one_after_the_other_need_few_tunnels() -> None:
    async with bench() as made:
        await made.open(ECHO)
        for _ in range(30):
            client = made.accept()
            client.send(b"x")
            assert await receive(client, 1) == b"x"
            client.close()
        assert made.pool.tunnels <= 8
        await asyncio.gather(*made.tasks)
        assert all(not connection.failed for connection in made.connections)
