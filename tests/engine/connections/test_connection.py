from __future__ import annotations

import asyncio
import contextlib
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
from tests.engine.harness import POD, engine_harness, receive
from tests.support.reasons import because
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.proxy.handshake import ClientHandshake
from tui_forward.engine.proxy.requests import RequestRules
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.model import ConnectionState, ReasonCode, TransportChoice

SPDY, WEBSOCKET, CHANNELS = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)


@pytest.mark.parametrize(
    "transport", [TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS]
)
async def test_echoed_bytes_are_counted(transport: TransportChoice) -> None:
    async with engine_harness(transport=transport) as harness:
        await harness.open(ECHO)
        client = harness.accept()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"x" * 100_000)
        assert await receive(client, 100_000) == b"x" * 100_000
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 1) == b""
        client.close()
        await harness.tasks[0]
        snapshot = harness.connections[0].snapshot(0)
        assert (snapshot.bytes_from_pod, snapshot.bytes_to_pod) == (100_000, 100_000)
        assert snapshot.state is ConnectionState.CLOSED
        assert not snapshot.failed
        assert harness.owner.counters.bytes_from_pod == 100_000
        await until(lambda: harness.pool.tunnels <= 2)


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_long_download_is_complete_then_closed(transport: TransportChoice) -> None:
    async with engine_harness(transport=transport) as harness:
        await harness.open(SOURCE)
        client = harness.accept()
        data = await receive(client, SOURCE_BYTES + 1)
        assert len(data) == SOURCE_BYTES
        await harness.tasks[0]
        snapshot = harness.connections[0].snapshot(0)
        assert snapshot.bytes_from_pod == SOURCE_BYTES == harness.owner.counters.bytes_from_pod
        assert snapshot.close_reason == "closed by the application"
        assert snapshot.first_byte_s is not None
        client.close()


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_long_upload_is_complete(transport: TransportChoice) -> None:
    async with engine_harness(transport=transport) as harness:
        await harness.open(SINK)
        client = harness.accept()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, bytes(5_000_000))
        await until(lambda: harness.cluster.sink_bytes == 5_000_000)
        assert harness.owner.counters.bytes_to_pod == 5_000_000
        client.close()
        await harness.tasks[0]
        assert not harness.connections[0].failed


async def test_opening_and_first_bytes_share_one_write() -> None:
    async with engine_harness(replace(Limits(), spare=0)) as harness:
        await harness.open(ECHO)
        connection = harness.cluster.live[0]
        chunks: list[int] = []
        received = connection.data_received

        def count(data: bytes) -> None:
            chunks.append(len(data))
            received(data)

        connection.data_received = count  # type: ignore[method-assign]
        connection.transport.set_protocol(connection)
        client = harness.accept(first=b"GET / HTTP/1.0")
        assert await receive(client, 14) == b"GET / HTTP/1.0"
        assert len(chunks) == 1
        client.close()


async def test_the_opening_leaves_before_a_client_of_the_proxy_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    flush = SpdyChannel.flush

    def record_flush(channel: SpdyChannel) -> None:
        flush(channel)
        sent.append("opening")

    class Client(ClientHandshake):
        def opened(self) -> bytes:
            sent.append("answer")
            return super().opened()

    monkeypatch.setattr(SpdyChannel, "flush", record_flush)
    async with engine_harness() as harness:
        await harness.open(ECHO)
        socks = Client(RequestRules(1080, None))
        socks.receive_data(b"\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x50early")
        client = harness.accept(proxy_client=socks)
        assert sent[:2] == ["opening", "answer"]
        assert (await receive(client, 17))[-5:] == b"early"
        client.close()


async def test_first_answer_to_a_client_of_the_proxy_does_not_end_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        socks = ClientHandshake(RequestRules(1080, None))
        socks.receive_data(b"\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x50early")
        client = harness.accept(proxy_client=socks)
        monkeypatch.setattr(SpdyChannel, "writable", property(lambda _: False))
        connection = harness.connections[0]
        connection.writing_paused()
        assert (await receive(client, 17))[-5:] == b"early"
        assert not connection._upload.is_reading
        monkeypatch.undo()
        connection.writing_resumed()
        client.send(b"later")
        assert await receive(client, 5) == b"later"
        client.close()


async def test_greeting_of_the_application_is_delivered() -> None:
    async with engine_harness() as harness:
        await harness.open(GREETER)
        client = harness.accept()
        assert await receive(client, 5) == b"hello"
        client.close()


async def test_late_answer_after_the_clients_fin_is_delivered() -> None:
    async with engine_harness() as harness:
        await harness.open(LATE)
        client = harness.accept(half_close_timeout_s=5.0)
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 100) == b"late answer"
        assert harness.cluster.eofs == 0
        await harness.tasks[0]
        assert harness.connections[0].snapshot(0).close_reason == "closed by the client"
        client.close()


async def test_fin_is_passed_on_when_the_pod_is_silent() -> None:
    async with engine_harness() as harness:
        await harness.open(SINK)
        client = harness.accept(half_close_timeout_s=0.05)
        client.send(b"data")
        client.shutdown(socket.SHUT_WR)
        assert await receive(client, 1) == b""
        assert harness.cluster.eofs == 1
        await harness.tasks[0]
        client.close()


async def test_refusal_by_ready_container_resets_only_that_connection() -> None:
    async with engine_harness() as harness:
        await harness.open(REFUSED)
        client = harness.accept()
        await harness.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        client.close()
        assert harness.connections[0].failed
        assert harness.owner.counters.connections_failed == 1
        assert [failure.code for failure in harness.owner.failures] == [ReasonCode.PORT_REFUSED]
        assert harness.pool.up


async def test_refusal_by_unready_container_is_retried_with_the_same_bytes() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        harness.owner.ready = False
        harness.cluster.refused_ports.add(ECHO)
        client = harness.accept()
        client.send(b"keep me")
        await until(lambda: len(harness.cluster.opened) >= 2)
        harness.cluster.refused_ports.clear()
        assert await receive(client, 7) == b"keep me"
        # Counted once, however often it was sent.
        assert harness.connections[0].snapshot(0).bytes_to_pod == 7
        client.close()


async def test_retries_end_with_the_queue_timeout() -> None:
    async with engine_harness() as harness:
        await harness.open(REFUSED)
        harness.owner.ready = False
        client = harness.accept(queue_timeout_s=0.2)
        await harness.tasks[0]
        assert harness.connections[0].failed
        client.close()


async def test_answered_connection_is_not_retried() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        harness.owner.ready = False
        client = harness.accept()
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        harness.cluster.cut()
        await harness.tasks[0]
        assert harness.cluster.opened == [ECHO]
        assert harness.connections[0].failed
        assert "tunnel was lost" in harness.connections[0].snapshot(0).close_reason
        client.close()


async def test_data_before_a_reset_is_delivered() -> None:
    async with engine_harness() as harness:
        await harness.open(RESET)
        client = harness.accept()
        client.send(b"x")
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(client, 100) == b"last words"
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(client, 100)
        await harness.tasks[0]
        assert [failure.code for failure in harness.owner.failures] == [ReasonCode.PORT_RESET]
        client.close()


async def test_gone_sandbox_is_reported_and_connection_waits_for_the_next_pod() -> None:
    async with engine_harness() as harness:
        await harness.open(GONE)
        client = harness.accept()
        await until(lambda: harness.owner.gone)
        await harness.pool.connect(POD, ECHO)
        client.send(b"hi")
        assert await receive(client, 2) == b"hi"
        client.close()


async def test_queued_connection_is_served_when_a_pool_is_up() -> None:
    async with engine_harness() as harness:
        harness.owner.open.clear()
        client = harness.accept()
        client.send(b"early")
        await until(lambda: harness.connections[0].state is ConnectionState.QUEUED)
        await harness.open(ECHO)
        harness.owner.open.set()
        assert await receive(client, 5) == b"early"
        client.close()


async def test_queued_client_that_closes_ends_the_connection() -> None:
    async with engine_harness() as harness:
        harness.owner.open.clear()
        client = harness.accept(queue_timeout_s=60)
        client.close()
        await asyncio.wait_for(harness.tasks[0], 60)
        assert not harness.connections[0].failed


async def test_queue_timeout_has_a_reason() -> None:
    async with engine_harness() as harness:
        harness.owner.open.clear()
        client = harness.accept(queue_timeout_s=0.1)
        await harness.tasks[0]
        assert harness.connections[0].failed
        assert (
            "no tunnel to the pod within 0.1 s" in harness.connections[0].snapshot(0).close_reason
        )
        client.close()


async def test_client_reset_ends_only_its_own_streams() -> None:
    async with engine_harness() as harness:
        await harness.open(SILENT)
        client = harness.accept()
        await until(lambda: harness.cluster.opened)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await harness.tasks[0]
        await until(lambda: harness.cluster.resets == 1)
        assert not harness.connections[0].failed
        assert harness.pool.up


@pytest.mark.parametrize("transport", [SPDY, CHANNELS])
async def test_abort_resets_the_client_and_closes_the_channel(transport: TransportChoice) -> None:
    async with engine_harness(transport=transport) as harness:
        await harness.open(SILENT)
        opened = len(harness.cluster.opened)
        client = harness.accept()
        await until(lambda: len(harness.cluster.opened) > opened)
        await until(lambda: harness.connections[0].state is ConnectionState.OPEN)
        harness.connections[0].abort(because("because"))
        await harness.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        assert harness.connections[0].snapshot(0).close_reason == "because"
        client.close()


async def test_canceled_connection_that_waits_resets_the_client() -> None:
    async with engine_harness() as harness:
        harness.owner.open.clear()
        client = harness.accept()
        await asyncio.sleep(0)
        harness.connections[0].cancel()
        await harness.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
        client.close()


async def test_opening_is_sent_before_accept_returns() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        (tunnel,) = harness.pool._tunnels
        tasks = asyncio.all_tasks()
        client = harness.accept()
        assert tunnel.load == 1
        assert harness.connections[0].state is ConnectionState.OPEN
        assert asyncio.all_tasks() == tasks, "a connection needs no task while a tunnel is up"
        client.send(b"x")
        assert await receive(client, 1) == b"x"
        client.close()


async def test_unexpected_error_closes_the_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        monkeypatch.delattr(harness.pool, "_tunnels")
        client = harness.accept()
        monkeypatch.undo()
        await harness.tasks[0]
        with pytest.raises(ConnectionResetError):
            await receive(client, 1)
    assert "connection 1 of f1 failed" in caplog.text


async def test_client_that_resets_behind_much_data_is_noticed() -> None:
    async with engine_harness() as harness:
        await harness.open(SINK)
        client = harness.accept(small=True)
        client.send(b"x")
        await until(lambda: harness.cluster.sink_bytes == 1)
        connection = harness.connections[0]
        connection.writing_paused()
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(bytes(100_000))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        connection.writing_resumed()
        await harness.tasks[0]
        assert "reset" in connection.snapshot(0).close_reason


async def test_slow_reader_alone_on_its_tunnel_receives_every_byte() -> None:
    limits = replace(Limits(), stream_buffer=100_000)
    async with engine_harness(limits) as harness:
        await harness.open(SOURCE)
        client = harness.accept(small=True)
        await until(lambda: harness.pool.budget.memory >= 100_000)
        assert harness.pool.budget.memory < 100_000 + 262_144
        assert len(await receive(client, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await harness.tasks[0]
        assert harness.pool.budget.memory == 0
        client.close()


async def test_slow_reader_on_a_shared_tunnel_spills_to_disk() -> None:
    limits = replace(Limits(), stream_buffer=1000, max_tunnels=1, spare=0)
    async with engine_harness(limits) as harness:
        await harness.open(SOURCE)
        slow = harness.accept(small=True)
        fast = harness.accept()
        assert harness.pool.tunnels == 1
        assert len(await receive(fast, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await until(lambda: harness.pool.budget.disk)
        await until(lambda: harness.pool.budget.memory < 600_000)
        assert len(await receive(slow, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await asyncio.gather(*harness.tasks)
        assert not any(connection.failed for connection in harness.connections)
        assert (harness.pool.budget.memory, harness.pool.budget.disk) == (0, 0)


async def test_slow_reader_on_a_shared_tunnel_is_evicted_without_room() -> None:
    limits = replace(
        Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.1, max_tunnels=1, spare=0
    )
    async with engine_harness(limits) as harness:
        await harness.open(SOURCE)
        harness.accept(small=True)
        fast = harness.accept()
        assert len(await receive(fast, SOURCE_BYTES + 1)) == SOURCE_BYTES
        await harness.tasks[0]
        assert harness.connections[0].failed
        assert "stopped reading" in harness.connections[0].snapshot(0).close_reason
        assert not harness.connections[1].failed


async def test_slow_reader_on_a_shared_tunnel_receives_more_than_there_is_room_for() -> None:
    limits = replace(
        Limits(), stream_buffer=1000, spill=400_000, stall_grace_s=0.3, slowest_reader=1,
        max_tunnels=1, spare=0,
    )  # fmt: skip
    assert 4 * limits.spill < SOURCE_BYTES
    async with engine_harness(limits) as harness:
        await harness.open(SOURCE)
        slow = harness.accept(small=True)
        fast = harness.accept()
        received = asyncio.create_task(receive(fast, SOURCE_BYTES + 1))
        await until(lambda: harness.pool.budget.disk)
        assert len(await receive(slow, SOURCE_BYTES + 1)) == SOURCE_BYTES
        assert len(await received) == SOURCE_BYTES
        await asyncio.gather(*harness.tasks)
        assert not any(connection.failed for connection in harness.connections)


async def test_short_connections_in_sequence_need_few_tunnels() -> None:
    async with engine_harness() as harness:
        await harness.open(ECHO)
        for _ in range(30):
            client = harness.accept()
            client.send(b"x")
            assert await receive(client, 1) == b"x"
            client.close()
        assert harness.pool.tunnels <= 8
        await asyncio.gather(*harness.tasks)
        assert all(not connection.failed for connection in harness.connections)
