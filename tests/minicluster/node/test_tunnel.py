"""SPDY tunnels of the runtime, frame by frame, compared with containerd."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.minicluster.node.harness import RuntimeHarness, SpdyClient, wait_for_data
from tests.support.waiting import until


async def test_pair_and_data_in_one_write(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7000, 0, b"ping")
        await wait_for_data(data, b"ping")
        # SYN_REPLY precedes data.
        assert data.events == ["reply", b"ping"]
        assert error.events == ["reply"]


async def test_200_concurrent_connections(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        streams = [await client.open(7000, number, b"%d" % number) for number in range(200)]
        for number, (_, data) in enumerate(streams):
            await wait_for_data(data, b"%d" % number)


async def test_eof_of_client_ends_connection_after_drain_timeout(
    runtime: RuntimeHarness,
) -> None:
    """As in containerd, the application never gets the EOF, and its reply is lost."""
    await runtime.control.request("streaming", drain_timeout_s=0.2)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, data = await client.open(7006, 0, b"hello 30\n")
        await client.send(client.data(3, fin=True))
        started = time.monotonic()
        await until(lambda: error.ended and data.ended)
        assert time.monotonic() - started >= 0.15
        assert data.events == ["reply", "fin"]
        assert error.events == ["reply", "fin"]
        assert [event for event in client.order if event[1] == "fin"] == [(3, "fin"), (1, "fin")]


async def test_eof_of_application_is_sent_after_drain_timeout(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", drain_timeout_s=0.3)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7007, 0)
        await wait_for_data(data, b"bye\n")
        assert not data.ended
        # The other direction still works.
        await client.send(client.data(3, b"still here"))
        started = time.monotonic()
        await until(lambda: data.ended)
        assert time.monotonic() - started >= 0.2
        counters = await read_counters(client, 7007)
        assert counters == (len(b"still here"), len(b"bye\n"))


async def read_counters(client: SpdyClient, port: int) -> tuple[int, int]:
    """Return the bytes that the toolbox has received and sent on a port."""
    number = 1000 + len(client.streams)
    request = f"GET /counters?port={port} HTTP/1.0\r\n\r\n".encode()
    _, data = await client.open(7009, number, request)
    await until(lambda: data.ended)
    counters = json.loads(data.data.partition(b"\r\n\r\n")[2])
    return counters["received"], counters["sent"]


async def test_refusal_has_containerd_text_and_order(runtime: RuntimeHarness) -> None:
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


async def test_refusal_has_crio_text_if_configured(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", crio_texts=True)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        error, _ = await client.open(7999, 0)
        await until(lambda: error.ended)
        assert b"dial tcp 127.0.0.1:7999: connect: connection refused" in error.data
        assert b"tcp4" not in error.data


@pytest.mark.parametrize(
    ("style", "error_ends", "data_ends", "has_text"),
    [
        ("text-then-fin", "fin", "fin", True),
        ("silent-reset", "rst 5", "fin", False),
        ("text-then-reset", "rst 5", "fin", True),
    ],
)
async def test_failure_styles(
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
async def test_invalid_stream_is_reset_without_reply(
    runtime: RuntimeHarness, headers: dict[str, str]
) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.send(client.syn(1, headers))
        stream = client.streams[1]
        await until(lambda: stream.ended)
        assert stream.events == ["rst 5"]
        # The tunnel and its header compression continue to work.
        _, data = await client.open(7000, 1, b"after")
        await wait_for_data(data, b"after")


async def test_decreasing_stream_id_is_reset(runtime: RuntimeHarness) -> None:
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


async def test_streams_without_request_id_are_paired_by_stream_id(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.send(
            client.syn(1, {"streamtype": "error", "port": "7000"}),
            client.syn(3, {"streamtype": "data", "port": "7000"}),
            client.data(3, b"old"),
        )
        await wait_for_data(client.streams[3], b"old")


async def test_duplicate_half_is_reported(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        headers = {"streamtype": "error", "port": "7000", "requestid": "4"}
        await client.send(client.syn(1, headers), client.syn(3, headers))
        stream = client.streams[1]
        await until(lambda: stream.data)
        assert (
            stream.data == b"error processing stream for request 4: error stream already assigned"
        )


async def test_largest_and_smallest_frames_are_delivered(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    size = 0xFFFFFF
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7011, 0)
        await client.send(client.data(3, b"u" * size))
        await client.send(*(client.data(3, b"x") for _ in range(1000)))
        await wait_until_received(client, 7011, size + 1000)
        assert not data.ended


async def wait_until_received(client: SpdyClient, port: int, size: int) -> None:
    async with asyncio.timeout(60):
        while (await read_counters(client, port))[0] != size:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


async def test_data_frames_have_the_size_of_io_copy(runtime: RuntimeHarness) -> None:
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


async def test_stopped_reader_stalls_the_tunnel_as_in_go(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.open(7003, 0)
        sent = await flood(client, 3)
        # Socket buffers, 51 frames in the runtime, and socket buffers of the tunnel.
        assert sent < 40_000_000


async def test_without_backpressure_a_stopped_reader_blocks_only_itself(
    runtime: RuntimeHarness,
) -> None:
    await runtime.control.request("streaming", backpressure=False)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await client.open(7003, 0)
        for _ in range(100):
            await client.send(client.data(3, b"s" * 32768))
        _, data = await client.open(7000, 1, b"other")
        await wait_for_data(data, b"other")


async def flood(client: SpdyClient, stream_id: int) -> int:
    """Send until the tunnel blocks; return how many bytes were sent."""
    frame = client.data(stream_id, b"f" * 32768)
    sent = 0
    while True:
        try:
            async with asyncio.timeout(0.5):
                await client.send(frame)
        except TimeoutError:
            return sent
        sent += len(frame)


async def test_client_that_does_not_read_blocks_the_application(
    runtime: RuntimeHarness,
) -> None:
    pod = await runtime.pod()
    size = 50_000_000
    async with runtime.tunnel(pod) as client:
        client.reading.clear()
        _, data = await client.open(7002, 0, b"%d\n" % size)
        async with runtime.tunnel(pod) as other:
            sent = -1
            while (current := (await read_counters(other, 7002))[1]) != sent:
                sent = current
                await asyncio.sleep(0.2)
        assert 0 < sent < size
        client.reading.set()
        await until(lambda: len(data.data) == size, 30)


async def test_invalid_frame_ends_the_tunnel(runtime: RuntimeHarness) -> None:
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
        await wait_for_data(data, b"x")
        await client.send(bytes.fromhex("80030007000000080000000000000000"))
        await until(lambda: client.eof)
    await wait_for_no_connections(runtime)


async def wait_for_no_connections(runtime: RuntimeHarness) -> None:
    async with asyncio.timeout(60):
        while (await runtime.control.request("status"))["connections"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_idle_tunnel_is_closed(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", idle_s=0.1)
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7008, 0)
        await until(lambda: client.eof)
        assert client.goaway
        assert data.events[-1] == "rst 5"


async def test_tunnel_stays_open_after_its_pod(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"x")
        await wait_for_data(data, b"x")
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


async def test_tunnel_reaches_restarted_container(
    runtime: RuntimeHarness,
) -> None:
    pod = await runtime.pod("echo", "crashing")
    async with runtime.tunnel(pod) as client:
        await runtime.control.request("crash-pod", pod="crashing")
        status = await runtime.wait_for_exit(pod.container)
        assert status.exit_code == 137
        error, _ = await client.open(7000, 0)
        await until(lambda: error.ended)
        assert b"connection refused" in error.data
        await runtime.container(pod.sandbox, pod.config, "echo")
        _, data = await client.open(7000, 1, b"again")
        await wait_for_data(data, b"again")


async def test_stall_cut_and_refuse_faults(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with runtime.tunnel(pod) as client:
        await runtime.control.request("stall", for_s=0.3)
        started = time.monotonic()
        _, data = await client.open(7000, 0, b"later")
        await wait_for_data(data, b"later")
        assert time.monotonic() - started >= 0.2
        await runtime.control.request("cut", what="connections")
        await until(lambda: data.ended)
        await runtime.control.request("streaming", refuse=True)
        error, _ = await client.open(7000, 1)
        await until(lambda: b"connection refused" in error.data)
        await runtime.control.request("clear")
        _, data = await client.open(7000, 2, b"clear")
        await wait_for_data(data, b"clear")
        await runtime.control.request("cut")
        await until(lambda: client.eof)


async def test_delay_fault_keeps_byte_order(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    size = 20_000_000
    async with runtime.tunnel(pod) as client:
        _, first = await client.open(7000, 0, b"one")
        await wait_for_data(first, b"one")
        await runtime.control.request("delay", seconds=0.1)
        started = time.monotonic()
        await client.send(client.data(3, b"two"))
        await wait_for_data(first, b"onetwo")
        assert time.monotonic() - started >= 0.2
        _, data = await client.open(7002, 1, b"%d\n" % size)
        await until(lambda: len(client.sizes) > 100)
        await runtime.control.request("delay", seconds=0)
        await until(lambda: sum(client.sizes) >= size, 30)
        pattern = bytes(range(256))
        assert data.data[: 256 * 1000] == pattern * 1000
        assert data.data[-256:] == pattern[size % 256 :] + pattern[: size % 256]
