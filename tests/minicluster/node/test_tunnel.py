"""SPDY tunnels of the runtime, frame by frame, against what containerd does."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.minicluster.node.harness import RuntimeHarness, SpdyClient, received
from tests.support.waiting import until


async def test_both_halves_and_data_in_one_write(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7000, 0, b"ping")
        await received(data, b"ping")
        # The stream is accepted before anything is sent on it.
        assert data.events == ["reply", b"ping"]
        assert error.events == ["reply"]


async def test_any_number_of_connections_at_once(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        streams = [await client.open(7000, number, b"%d" % number) for number in range(200)]
        for number, (_, data) in enumerate(streams):
            await received(data, b"%d" % number)


async def test_the_end_of_the_client_never_reaches_the_application(
    runtime: RuntimeHarness,
) -> None:
    """And both streams end a second later, whatever the application still has to say."""
    await runtime.control.request("streaming", drain_timeout_s=0.2)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7006, 0, b"hello 30\n")
        await client.send(client.data(3, fin=True))
        begun = time.monotonic()
        await until(lambda: error.ended and data.ended)
        assert time.monotonic() - begun >= 0.15
        assert data.events == ["reply", "fin"]
        assert error.events == ["reply", "fin"]
        assert [each for each in client.order if each[1] == "fin"] == [(3, "fin"), (1, "fin")]


async def test_the_end_of_the_application_is_a_second_late(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", drain_timeout_s=0.3)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7007, 0)
        await received(data, b"bye\n")
        assert not data.ended
        # The other direction still works.
        await client.send(client.data(3, b"still here"))
        begun = time.monotonic()
        await until(lambda: data.ended)
        assert time.monotonic() - begun >= 0.2
        counters = await count(client, 7007)
        assert counters == (len(b"still here"), len(b"bye\n"))


async def count(client: SpdyClient, port: int) -> tuple[int, int]:
    """What the toolbox has (received, sent) on a port, through the same tunnel."""
    number = 1000 + len(client.streams)
    request = f"GET /counters?port={port} HTTP/1.0\r\n\r\n".encode()
    _, data = await client.open(7009, number, request)
    await until(lambda: data.ended)
    found = json.loads(data.data.partition(b"\r\n\r\n")[2])
    return found["received"], found["sent"]


async def test_refused(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7999, 0)
        await until(lambda: error.ended and data.ended)
        text = error.data.decode()
        assert text.startswith(f"error forwarding port 7999 to pod {pod.sandbox}, uid : ")
        assert "failed to execute portforward in network namespace" in text
        assert "failed to connect to localhost:7999 inside namespace" in text
        assert "IPv4: dial tcp4 127.0.0.1:7999: connect: connection refused IPv6 dial tcp6" in text
        assert text.endswith(" ")
        # The order of containerd after an attempted dial.
        assert client.order == [
            (1, "reply"),
            (3, "reply"),
            (3, "fin"),
            (1, "data"),
            (1, "fin"),
        ]


@pytest.mark.parametrize(
    ("style", "error_ends", "data_ends", "has_text"),
    [
        ("text-then-fin", "fin", "fin", True),
        ("silent-reset", "rst 5", "fin", False),
        ("text-then-reset", "rst 5", "fin", True),
    ],
)
async def test_three_ways_to_fail(
    runtime: RuntimeHarness, style: str, error_ends: str, data_ends: str, has_text: bool
) -> None:
    await runtime.control.request("streaming", failure_style=style, drain_timeout_s=0.05)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7010, 0, b"x")
        await until(lambda: error.ended and data.ended)
        assert error.events[-1] == error_ends
        assert data_ends in data.events
        assert (b"connection reset by peer" in error.data) is has_text


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "data", "requestid": "0"},
        {"streamtype": "data", "port": "zero", "requestid": "0"},
        {"streamtype": "data", "port": "0", "requestid": "0"},
        {"streamtype": "data", "port": "65536", "requestid": "0"},
        {"streamtype": "other", "port": "80", "requestid": "0"},
        {"port": "80", "requestid": "0"},
    ],
)
async def test_bad_streams_are_reset_without_a_reply(
    runtime: RuntimeHarness, headers: dict[str, str]
) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.send(client.syn(1, headers))
        stream = client.streams[1]
        await until(lambda: stream.ended)
        assert stream.events == ["rst 5"]
        # The tunnel is none the worse, and the compressor none the wiser.
        _, data = await client.open(7000, 1, b"after")
        await received(data, b"after")


async def test_ids_must_increase(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.open(7000, 5)
        await client.send(client.syn(3, {"streamtype": "data", "port": "7000", "requestid": "9"}))
        await until(lambda: client.streams[3].ended)
        assert client.streams[3].events == ["rst 1"]


async def test_half_a_pair_times_out(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", pair_timeout_s=0.1)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        headers = {"streamtype": "error", "port": "7000", "requestid": "7"}
        await client.send(client.syn(1, headers))
        stream = client.streams[1]
        await until(lambda: stream.data)
        assert b"request=7) timed out waiting for streams" in stream.data
        assert not stream.ended


async def test_pairs_without_request_ids(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.send(
            client.syn(1, {"streamtype": "error", "port": "7000"}),
            client.syn(3, {"streamtype": "data", "port": "7000"}),
            client.data(3, b"old"),
        )
        await received(client.streams[3], b"old")


async def test_a_duplicate_half(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        headers = {"streamtype": "error", "port": "7000", "requestid": "4"}
        await client.send(client.syn(1, headers), client.syn(3, headers))
        stream = client.streams[1]
        await until(lambda: stream.data)
        assert (
            stream.data == b"error processing stream for request 4: error stream already assigned"
        )


async def test_big_frames_and_small_pieces(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    size = 0xFFFFFF
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7011, 0)
        await client.send(client.data(3, b"u" * size))
        await client.send(*(client.data(3, b"x") for _ in range(1000)))
        await until_counted(client, 7011, size + 1000)
        assert not data.ended


async def until_counted(client: SpdyClient, port: int, wanted: int) -> None:
    async with asyncio.timeout(20):
        while (await count(client, port))[0] != wanted:  # noqa: ASYNC110 - it is in a pod
            await asyncio.sleep(0.01)


async def test_frames_from_the_server_are_those_of_io_copy(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        size = 3_000_000
        _, data = await client.open(7002, 0, b"%d\n" % size)
        await until(lambda: len(data.data) == size)
        assert max(client.sizes) == 32 * 1024
        assert data.data[:256] == bytes(range(256))


async def test_pings_are_echoed_and_none_is_sent(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        for number in (1, 3, 5, 7, 9, 11):
            await client.send(bytes.fromhex("8003000600000004"), number.to_bytes(4))
        await until(lambda: len(client.pings) == 6)
        assert client.pings == [1, 3, 5, 7, 9, 11]


async def test_a_stopped_reader_stalls_the_tunnel_as_in_go(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.open(7003, 0)
        sent = await flood(client, 3)
        # The application's buffer, 51 frames in the runtime, and those of the tunnel.
        assert sent < 40_000_000
        # Whatever else was sent is behind it, and nobody gets to it.
        assert not client.pings


async def test_without_backpressure_only_the_slow_one_waits_at_first(
    runtime: RuntimeHarness,
) -> None:
    await runtime.control.request("streaming", backpressure=False)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.open(7003, 0)
        for _ in range(100):
            await client.send(client.data(3, b"s" * 32768))
        _, data = await client.open(7000, 1, b"neighbour")
        await received(data, b"neighbour")


async def flood(client: SpdyClient, stream_id: int) -> int:
    """Send until nothing more is taken for a while; how much was."""
    frame = client.data(stream_id, b"f" * 32768)
    sent = 0
    while True:
        try:
            async with asyncio.timeout(0.5):
                await client.send(frame)
        except TimeoutError:
            return sent
        sent += len(frame)


async def test_a_client_that_does_not_read_stops_the_application(
    runtime: RuntimeHarness,
) -> None:
    pod = await runtime.pod()
    size = 50_000_000
    async with runtime.tunnel(pod) as client:
        client.reading.clear()
        _, data = await client.open(7002, 0, b"%d\n" % size)
        async with runtime.tunnel(pod) as other:
            sent = -1
            while (now := (await count(other, 7002))[1]) != sent:
                sent = now
                await asyncio.sleep(0.2)
        assert 0 < sent < size
        client.reading.set()
        await until(lambda: len(data.data) == size, 30)


async def test_garbage_ends_the_tunnel(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.send(bytes.fromhex("8003000500000000"))  # type 5 does not exist
        await until(lambda: client.eof)
    async with runtime.tunnel(pod) as client:
        await client.send(client.syn(1, {"Port": "80"}))
        await until(lambda: client.eof)


async def test_goaway_ends_the_tunnel(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"x")
        await received(data, b"x")
        await client.send(bytes.fromhex("80030007000000080000000000000000"))
        await until(lambda: client.eof)
    await no_connections(runtime)


async def no_connections(runtime: RuntimeHarness) -> None:
    async with asyncio.timeout(10):
        while (await runtime.control.request("status"))["connections"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_idle_limit(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", idle_s=0.1)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7008, 0)
        await until(lambda: client.eof)
        assert client.goaway
        assert data.events[-1] == "rst 5"


async def test_the_tunnel_outlives_its_pod(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"x")
        await received(data, b"x")
        await runtime.cri.stop_pod_sandbox(pod.sandbox)
        await until(lambda: data.ended)
        error, _ = await client.open(7000, 1)
        await until(lambda: error.ended)
        assert error.data.decode() == (
            f"error forwarding port 7000 to pod {pod.sandbox}, uid : "
            f'network namespace for sandbox "{pod.sandbox}" is closed'
        )
        await runtime.cri.remove_pod_sandbox(pod.sandbox)
        error, _ = await client.open(7000, 2)
        await until(lambda: error.ended)
        assert error.data.decode().endswith(
            f': failed to find sandbox "{pod.sandbox}" in store: not found'
        )
        assert not client.eof


async def test_a_restarted_container_is_reached_by_the_same_tunnel(
    runtime: RuntimeHarness,
) -> None:
    pod = await runtime.pod("echo", "crashing")
    async with runtime.tunnel(pod) as client:
        await runtime.control.request("crash-pod", pod="crashing")
        status = await runtime.ended(pod.container)
        assert status.exit_code == 137
        error, _ = await client.open(7000, 0)
        await until(lambda: error.ended)
        assert b"connection refused" in error.data
        await runtime.container(pod.sandbox, pod.config, "echo")
        _, data = await client.open(7000, 1, b"again")
        await received(data, b"again")


async def test_faults_on_tunnels(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await runtime.control.request("stall", for_s=0.3)
        begun = time.monotonic()
        _, data = await client.open(7000, 0, b"later")
        await received(data, b"later")
        assert time.monotonic() - begun >= 0.2
        await runtime.control.request("cut", what="connections")
        await until(lambda: data.ended)
        await runtime.control.request("streaming", refuse=True)
        error, _ = await client.open(7000, 1)
        await until(lambda: b"connection refused" in error.data)
        await runtime.control.request("clear")
        _, data = await client.open(7000, 2, b"clear")
        await received(data, b"clear")
        await runtime.control.request("cut")
        await until(lambda: client.eof)


async def test_a_delay_keeps_the_order(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    size = 20_000_000
    async with runtime.tunnel(pod) as client:
        _, first = await client.open(7000, 0, b"one")
        await received(first, b"one")
        await runtime.control.request("delay", seconds=0.1)
        begun = time.monotonic()
        await client.send(client.data(3, b"two"))
        await received(first, b"onetwo")
        assert time.monotonic() - begun >= 0.2
        _, data = await client.open(7002, 1, b"%d\n" % size)
        await until(lambda: len(client.sizes) > 100)
        await runtime.control.request("delay", seconds=0)
        await until(lambda: sum(client.sizes) >= size, 30)
        pattern = bytes(range(256))
        assert data.data[: 256 * 1000] == pattern * 1000
        assert data.data[-256:] == pattern[size % 256 :] + pattern[: size % 256]
